//go:build tools

// Package engine pins the Pulumi command line that tests run, by its Go module.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
