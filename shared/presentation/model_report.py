"""The JSON object of a report on a model, for the gateway's answer and `darkroom models compare --json`."""

from typing import Any, Final

from shared.domain.model_report import Accuracy, ClassDrift, Comparison, ModelReport, ShadowAgreement, VersionReport
from shared.domain.timestamps import microseconds, rfc3339
from shared.domain.version_figures import CONFIDENCE_BINS, LATENCY_BOUNDS, Latencies

_DIGITS: Final = 6


def report_object(report: ModelReport) -> dict[str, Any]:
    """Return a report as the HTTP API shows it."""
    week = report.first_week
    return {
        "model": report.model,
        "since": rfc3339(microseconds(report.since)),
        "versions": [_version(one) for one in report.versions],
        "shadows": [_shadow(one) for one in report.shadows],
        "comparisons": [_comparison(one) for one in report.comparisons],
        "first_week": None
        if week is None
        else {
            "since": rfc3339(microseconds(week.since)),
            "until": rfc3339(microseconds(week.until)),
            "classes": week.classes,
        },
        "uncounted": report.uncounted,
    }


def _version(one: VersionReport) -> dict[str, Any]:
    figures, errors = one.figures, one.errors
    named = sum(figures.classes.values())
    return {
        "version": figures.version,
        "variant": figures.variant,
        "count": figures.count,
        "statuses": figures.statuses,
        "sources": figures.sources,
        "errors": figures.errors,
        "failed_share": round(figures.failed_share, _DIGITS),
        "queue_ms": _latencies(figures.queue_ms),
        "predict_ms": _latencies(figures.predict_ms),
        "total_ms": _latencies(figures.total_ms),
        "confidence": [
            {"from": round(number / CONFIDENCE_BINS, 2), "to": round((number + 1) / CONFIDENCE_BINS, 2), "count": count}
            for number, count in enumerate(figures.confidence)
        ],
        "classes": [
            {"class": name, "count": count, "share": round(count / named, _DIGITS)}
            for name, count in figures.classes.items()
        ],
        "drift": _drift(one.drift),
        "accuracy": _accuracy(one.accuracy),
        "mean_absolute_error": None
        if errors is None
        else {"labelled": errors.labelled, "value": round(errors.mean_absolute_error, _DIGITS)},
    }


def _latencies(found: Latencies | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "p50": found.p50,
        "p90": found.p90,
        "p95": found.p95,
        "p99": found.p99,
        "histogram": [
            {"from": above, "to": bound, "count": count}
            for above, bound, count in zip((0.0, *LATENCY_BOUNDS), (*LATENCY_BOUNDS, None), found.counts, strict=True)
        ],
    }


def _drift(drift: ClassDrift | None) -> dict[str, Any] | None:
    if drift is None:
        return None
    return {"psi": round(drift.index, 4), "by_chance": round(drift.by_chance, 4), "verdict": drift.verdict}


def _accuracy(accuracy: Accuracy | None) -> dict[str, Any] | None:
    if accuracy is None:
        return None
    return {
        "labelled": accuracy.labelled,
        "right": accuracy.right,
        "share": round(accuracy.share, _DIGITS),
        "low": round(accuracy.low, _DIGITS),
        "high": round(accuracy.high, _DIGITS),
    }


def _shadow(one: ShadowAgreement) -> dict[str, Any]:
    return {
        "version": one.version,
        "compared": one.compared,
        "agreed": one.agreed,
        "share": round(one.agreed / one.compared, _DIGITS) if one.compared else None,
        "low": round(one.low, _DIGITS),
        "high": round(one.high, _DIGITS),
        "not_comparable": one.not_comparable,
        "disagreements": list(one.ids),
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "versions": list(one.versions),
        "images": one.images,
        "only_first": one.only_first,
        "only_second": one.only_second,
        "p": None if one.p is None else float(f"{one.p:.4g}"),
        "sentence": one.sentence,
    }
