// Package rules holds the alert rules and the dashboard of docs/ against the
// parser of Prometheus. It is a module of its own, so that Daybook does not
// depend on Prometheus; that they name metrics that there are is tested in
// internal/app.
package rules

import (
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func TestAlerts(t *testing.T) {
	_, errs := rulefmt.ParseFile("../../docs/prometheus/alerts.yml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
}

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../docs/grafana/daybook.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			count++
			// Grafana puts a duration there.
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(expr); err != nil {
				t.Errorf("%s: %s: %v", panel.Title, expr, err)
			}
		}
	}
	if count == 0 {
		t.Error("there are no expressions in the dashboard")
	}
}
