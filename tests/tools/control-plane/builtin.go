//go:build !assets

package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // for --logging-format=json
	kubectl "k8s.io/kubectl/pkg/cmd"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	// Not for its code: so that go.mod pins the module whose CRDs are installed.
	_ "istio.io/api/label"
)

// builtin has the programs that are part of this binary, by the names that they have elsewhere.
var builtin = map[string]func(arguments []string){
	"etcd": etcdmain.Main,
	"kube-apiserver": func(arguments []string) {
		command := app.NewAPIServerCommand()
		command.SetArgs(arguments[1:])
		os.Exit(cli.Run(command))
	},
	"kubectl": func(arguments []string) {
		// It reads the command line itself, to look for plugins.
		os.Args = arguments
		command := kubectl.NewDefaultKubectlCommand()
		if err := cli.RunNoErrOutput(command); err != nil {
			cmdutil.CheckErr(err)
		}
	},
}
