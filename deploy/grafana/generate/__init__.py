"""Grafana's dashboards as code: `python -m deploy.grafana.generate` writes `deploy/grafana/dashboards/*.json`."""
