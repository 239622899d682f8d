// CoreDNS with the plugins that the cluster's Corefile names, and no others: the rest bring the clients of three clouds with
// them. What it has in common with Prometheus is of the same versions, so that Go compiles it once for both.
package main

import (
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"

	"github.com/coredns/coredns/coremain"
)

func main() {
	coremain.Run()
}
