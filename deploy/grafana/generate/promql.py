"""PromQL as the panels need it. `by` and `where` are the inside of `by (…)` and of `{…}`; windows are Grafana's."""

from typing import Final

MODEL: Final = 'model=~"$model"'
"""The models that the variable names; all of them while it says `All`."""
VERSION: Final = 'model=~"$model", version=~"$version"'
WINDOW: Final = "[$__rate_interval]"


def per_second(metric: str, *, by: str = "", where: str = "") -> str:
    """Return how much a counter grows each second."""
    return f"{_sum(by)}(rate({_series(metric, where)}{WINDOW}))"


def quantile(share: float, histogram: str, *, by: str = "", where: str = "") -> str:
    """Return a quantile of what a histogram observed; estimated within its buckets."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({_series(f'{histogram}_bucket', where)}{WINDOW})))"


def mean(histogram: str, *, by: str = "", where: str = "") -> str:
    """Return the mean of what a histogram observed; NaN where it observed nothing."""
    return (
        f"{per_second(f'{histogram}_sum', by=by, where=where)} / {per_second(f'{histogram}_count', by=by, where=where)}"
    )


def share(part: str, whole: str, *, by: str) -> str:
    """Return which share of a rate another is; 0 where nothing of the part was counted.

    `part` is a series of the whole's labels `by`, which has no sample before its first count.
    """
    return f"({part} or {whole} * 0) / {whole}" if by else f"({part} or on () vector(0)) / {whole}"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _series(metric: str, where: str) -> str:
    return f"{metric}{{{where}}}" if where else metric
