// Imagecopy copies an image with the library that skopeo is made of, in its current version, and with skopeo's settings: a stand-in for
// the current skopeo on machines where that module itself is not to be had. scripts/bench.py measures it beside teu.
//
// usage: imagecopy [--all] [--preserve-digests] SOURCE DESTINATION
package main

import (
	"context"
	"fmt"
	"os"

	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/transports/alltransports"
	"go.podman.io/image/v5/types"
)

func run(arguments []string) error {
	selection := copy.CopySystemImage
	preserve := false
	for len(arguments) > 2 {
		switch arguments[0] {
		case "--all":
			selection = copy.CopyAllImages
		case "--preserve-digests":
			preserve = true
		default:
			return fmt.Errorf("no such flag: %s", arguments[0])
		}
		arguments = arguments[1:]
	}
	if len(arguments) != 2 {
		return fmt.Errorf("usage: imagecopy [--all] [--preserve-digests] SOURCE DESTINATION")
	}
	source, err := alltransports.ParseImageName(arguments[0])
	if err != nil {
		return err
	}
	destination, err := alltransports.ParseImageName(arguments[1])
	if err != nil {
		return err
	}
	policy, err := signature.NewPolicyContext(&signature.Policy{
		Default: []signature.PolicyRequirement{signature.NewPRInsecureAcceptAnything()},
	})
	if err != nil {
		return err
	}
	system := types.SystemContext{DockerInsecureSkipTLSVerify: types.OptionalBoolTrue, OCIInsecureSkipTLSVerify: true}
	_, err = copy.Image(context.Background(), policy, destination, source, &copy.Options{
		SourceCtx:          &system,
		DestinationCtx:     &system,
		ImageListSelection: selection,
		PreserveDigests:    preserve,
		ReportWriter:       os.Stdout,
	})
	return err
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
