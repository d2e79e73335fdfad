// Runs Prometheus's own discovery of targets in Consul's catalog.
//
// The configuration, one entry of consul_sd_configs, is read from the standard input. Each change
// is one line of JSON: the service it concerns and the labels of all of its targets now.
package main

import (
	"context"
	"encoding/json"
	"io"
	"os"

	"github.com/go-kit/log"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/consul"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"gopkg.in/yaml.v2"
)

type change struct {
	Source  string
	Targets []model.LabelSet
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	check(err)
	config := consul.DefaultSDConfig
	check(yaml.UnmarshalStrict(text, &config))
	discovery, err := consul.NewDiscovery(&config, log.NewLogfmtLogger(os.Stderr))
	check(err)
	changes := make(chan []*targetgroup.Group)
	go discovery.Run(context.Background(), changes)
	out := json.NewEncoder(os.Stdout)
	for groups := range changes {
		for _, group := range groups {
			one := change{Source: group.Source, Targets: []model.LabelSet{}}
			for _, target := range group.Targets {
				one.Targets = append(one.Targets, target.Merge(group.Labels))
			}
			check(out.Encode(one))
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
