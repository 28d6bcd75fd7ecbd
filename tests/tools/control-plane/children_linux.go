package main

import "syscall"

// Children do not outlive this process, however it ends.
var childAttributes = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
