// control-plane is a Kubernetes control plane for tests, on loopback: kube-apiserver and etcd in one
// binary, with Istio's CustomResourceDefinitions installed.
//
// Nothing here is fit for production: tokens are known beforehand, and etcd does not sync to disk.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

const usage = `Starts etcd and kube-apiserver on 127.0.0.1, installs Istio's CRDs, prints "ready", and
serves until SIGTERM or Ctrl-C.

  control-plane --dir DIR [--port P] [--user NAME[:GROUP]]... [--until-stdin-closes]

DIR/kubeconfig is the administrator's, with a context for every other user; DIR/bin/kubectl is of the
server's version. DIR/audit.log has every write and whatever tunnelguard calls, etcd.log and kube-apiserver.log
what the servers say. The token of user NAME is "NAME-token".

With KUBEBUILDER_ASSETS set, etcd, kube-apiserver and kubectl of that directory are used in place of the
built-in ones.

`

func main() {
	// The servers run as children, so that those of KUBEBUILDER_ASSETS can take their place.
	if len(os.Args) > 1 {
		if program, ok := builtin[os.Args[1]]; ok {
			program(os.Args[1:])
			return
		}
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "control-plane:", err)
		os.Exit(1)
	}
}

// Options are what the command line says.
type Options struct {
	Dir   string
	Port  int
	Users []User
	CRDs  string
}

func run() error {
	options, untilStdinCloses, err := parse()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if untilStdinCloses {
		go func() {
			// A parent that was killed sends no signal, but its end of the pipe is closed.
			_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
			stop()
		}()
	}
	// Children are told of the death of the thread that started them (see children_linux.go).
	runtime.LockOSThread()

	plane, err := start(options)
	if err != nil {
		return err
	}
	defer plane.Stop()
	if err := install(ctx, plane); err != nil {
		return ended(ctx, err)
	}
	fmt.Printf("export KUBECONFIG=%s\nready\n", plane.Kubeconfig)
	select {
	case <-ctx.Done():
		return nil
	case err := <-plane.Died:
		return err
	}
}

// ended tells an error from the end that somebody asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func parse() (Options, bool, error) {
	var options Options
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage); flag.PrintDefaults() }
	flag.StringVar(&options.Dir, "dir", "", "where everything is kept; made if missing")
	flag.IntVar(&options.Port, "port", 0, "of kube-apiserver; 0 takes a free one")
	flag.StringVar(&options.CRDs, "crds", beside("istio-crds.yaml"), "CustomResourceDefinitions to install")
	flag.Func("user", "NAME or NAME:GROUP, who may sign in; may be repeated", func(text string) error {
		options.Users = append(options.Users, parseUser(text))
		return nil
	})
	untilStdinCloses := flag.Bool("until-stdin-closes", false, "end when stdin is closed, too")
	flag.Parse()
	if options.Dir == "" || flag.NArg() > 0 {
		return options, false, errors.New("--dir DIR is required, and nothing but flags is read; see --help")
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return options, false, err
	}
	options.Dir = dir
	return options, *untilStdinCloses, os.MkdirAll(dir, 0o700)
}

// beside is a file in the directory of this binary.
func beside(name string) string {
	binary, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(binary), name)
}
