// istiod for tests: Istio's own pilot-discovery, of the version that go.mod pins.
package main

import (
	"fmt"
	"os"

	"istio.io/istio/pilot/cmd/pilot-discovery/app"
)

func main() {
	if err := app.NewRootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "pilot-discovery:", err)
		os.Exit(1)
	}
}
