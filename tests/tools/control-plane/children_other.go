//go:build !linux

package main

import "syscall"

// A process group of their own: Ctrl-C is for this process, which ends them in order.
var childAttributes = &syscall.SysProcAttr{Setpgid: true}
