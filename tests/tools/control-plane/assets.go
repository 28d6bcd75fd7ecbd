//go:build assets

package main

// builtin is empty in a build for KUBEBUILDER_ASSETS, which takes seconds rather than minutes.
var builtin map[string]func(arguments []string)
