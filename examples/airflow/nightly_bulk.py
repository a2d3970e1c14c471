"""Airflow DAG: every night the folder of the day is predicted with `darkroom bulk`, and its results written as a CSV.

For Airflow 3. `--resume` makes a retry send only what is missing: a task that was killed loses nothing and repeats
nothing. The task fails where some pictures could not be predicted; the CSV says which and why.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

# The address and the key are Airflow's variables, so neither is in this file.
ENVIRONMENT = {"DARKROOM_URL": "{{ var.value.darkroom_url }}", "DARKROOM_API_KEY": "{{ var.value.darkroom_api_key }}"}

with DAG(
    dag_id="darkroom_nightly_bulk",
    description="Predict the pictures of a day",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"pictures": "/srv/pictures", "results": "/srv/results", "model": "digits"},
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
) as nightly:
    BashOperator(
        task_id="predict",
        # The run's journal is in --home: on a drive that every Airflow worker has, like the pictures.
        bash_command=(
            "darkroom bulk {{ params.pictures }}/{{ ds }} --model {{ params.model }} "
            "--out {{ params.results }}/{{ ds }}.csv --resume --home {{ params.results }}/runs"
        ),
        env=ENVIRONMENT,
        append_env=True,
    )
