// alerts says which alerts of a rule file fire, by Prometheus' own parser and engine: a scenario of series is
// stored, and every expression is evaluated at its end. `for` is left out: an alert that would be pending fires.
//
// Prometheus' promtool does this, too, and is built from four times as much (every service discovery there is).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

const usage = `usage: alerts RULES.yaml <SCENARIO.json

A scenario is {"end": UNIX_SECONDS, "step": SECONDS, "series": {"name{label=\"value\"}": [VALUE, …], …}}, the last
value of each series being at its end. Prints {"firing": [NAME, …], "asked": {NAME: [SERIES, …], …}}: which
alerts fire, and which series each asks for.`

type scenario struct {
	End    int64
	Step   int64
	Series map[string][]float64
}

type answer struct {
	Firing []string            `json:"firing"`
	Asked  map[string][]string `json:"asked"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "alerts:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	language, silent := parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler)
	groups, errs := rulefmt.ParseFile(path, false, model.UTF8Validation, language, silent)
	if len(errs) > 0 {
		return errs[0]
	}
	var told scenario
	if err := json.NewDecoder(os.Stdin).Decode(&told); err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "alerts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	store, err := tsdb.Open(directory, silent, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := fill(store, language, told); err != nil {
		return err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: language,
	})
	found := answer{Firing: []string{}, Asked: map[string][]string{}}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			expression, err := language.ParseExpr(rule.Expr)
			if err != nil {
				return err
			}
			for _, selector := range parser.ExtractSelectors(expression) {
				for _, matcher := range selector {
					if matcher.Name == labels.MetricName {
						found.Asked[rule.Alert] = append(found.Asked[rule.Alert], matcher.Value)
					}
				}
			}
			query, err := engine.NewInstantQuery(context.Background(), store, nil, rule.Expr, time.Unix(told.End, 0))
			if err != nil {
				return err
			}
			result := query.Exec(context.Background())
			vector, err := result.Vector()
			if err != nil {
				return fmt.Errorf("%s: %w", rule.Alert, err)
			}
			if len(vector) > 0 {
				found.Firing = append(found.Firing, rule.Alert)
			}
			query.Close()
		}
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

// fill stores the series.
func fill(store *tsdb.DB, language parser.Parser, told scenario) error {
	appender := store.Appender(context.Background())
	for text, values := range told.Series {
		series, err := language.ParseMetric(text)
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		for index, value := range values {
			seconds := told.End - told.Step*int64(len(values)-1-index)
			if _, err := appender.Append(0, series, seconds*1000, value); err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
		}
	}
	return appender.Commit()
}
