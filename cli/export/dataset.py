"""Logs an exported set to MLflow as a dataset: its digest, where it lies, and how many pictures it has."""

import warnings
from pathlib import Path
from typing import Final

from cli.registry import connect, experiment_id
from cli.terminal.lines import first_line
from cli.terminal.refused import Refused

TAG: Final = "darkroom.dataset_sha256"
DIGEST_LENGTH: Final = 36
"""MLflow keeps that many characters of a dataset's digest; the tag has the whole one."""


def log_dataset(home: Path, model: str, folder: Path, digest: str, *, pictures: int, run: str | None) -> str:
    """Log the set into a run, without one into a run of its own; return what was done, in words.

    A set that has a run of its own already gets no second one. Raises Refused where the run that is named can't be
    written; without one a registry that is away is only told of.
    """
    try:
        return _log(home, model, folder, digest, pictures=pictures, run=run)
    except (Exception, Refused) as error:  # noqa: BLE001  MLflow's stores raise all kinds of errors
        if run is not None:
            raise Refused(f"The set is written, and MLflow did not take it: {first_line(error)}") from None
        return f"MLflow was not told: {first_line(error)}"


def _log(home: Path, model: str, folder: Path, digest: str, *, pictures: int, run: str | None) -> str:
    client = connect(home)
    from mlflow.data.dataset_source_registry import resolve_dataset_source  # noqa: PLC0415  after `connect`
    from mlflow.data.meta_dataset import MetaDataset  # noqa: PLC0415
    from mlflow.entities import DatasetInput, InputTag  # noqa: PLC0415

    if run is None:
        experiment = experiment_id(client, model)
        known = client.search_runs([experiment], filter_string=f"tags.`{TAG}` = '{digest}'", max_results=1)
        if known:
            return f"MLflow has it already: run {known[0].info.run_id}"
        run = str(
            client.create_run(experiment, run_name="export", tags={"darkroom.pictures": str(pictures)}).info.run_id
        )
        ends = True
    else:
        ends = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a path may be read in two ways, which are the same
        source = resolve_dataset_source(str(folder.resolve()))
    dataset = MetaDataset(source, name=f"{model}-pictures"[:500], digest=digest[:DIGEST_LENGTH])  # type: ignore[abstract]
    inputs = [DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])]  # noqa: SLF001
    client.log_inputs(run, inputs)
    client.set_tag(run, TAG, digest)
    if ends:
        client.set_terminated(run)
    return f"logged to MLflow: run {run}"
