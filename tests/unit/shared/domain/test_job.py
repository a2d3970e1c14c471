"""A job's record has one list of fields, and a request one list of members: Lua and SQL use the same words."""

import re
from dataclasses import fields

import orjson

from shared.domain.job import RECORD_FIELDS, RUN_MEMBERS, Job
from shared.domain.job_request import JobRequest, RequestImage
from shared.queue.job_records import FIELDS, OWN_FIELDS, write_run
from shared.queue.lua import Script, source
from shared.storage import recording

QUOTED = re.compile(r"'([a-z_]+)'")


def test_the_finished_stream_has_the_records_fields_in_order() -> None:
    common = source(Script.FINISH)
    (written,) = re.findall(r"XADD', FINISHED, '\*',( 'id', id, 'state', state,.*?)\)\n", common, re.DOTALL)
    assert tuple(QUOTED.findall(re.sub(r"job\[\d\] or ''", "value", written))) == RECORD_FIELDS


def test_a_jobs_hash_has_the_records_fields_and_the_queues_own() -> None:
    everything = "".join(source(script) for script in Script)
    commands = re.findall(r"'(?:HSET|HMGET)', (?:JOB \.\. \w+|key|job), ([^)]*)\)", everything)
    commands += re.findall(r"(?<![\w.])accept\(('lane'[^)]*)\)", everything)
    words = {word for command in commands for word in QUOTED.findall(command)}
    # Two are values, and a batch has a total.
    assert words - {"starting", "processing", "total"} == {*FIELDS, *OWN_FIELDS}


def test_the_recorder_copies_the_records_fields_in_order() -> None:
    (columns,) = re.findall(r"TABLE IF NOT EXISTS intake \((.*?)\) ON COMMIT", str(recording._INTAKE_TABLE), re.DOTALL)
    assert tuple(column.split()[0] for column in columns.split(",")) == RECORD_FIELDS


def test_sql_reads_only_members_that_a_request_and_a_run_have() -> None:
    statement = str(recording._INSERT)
    members = set(re.findall(r"request->>?'(\w+)'", statement))
    # Which trace a job belongs to is for logs and spans, and is not recorded.
    assert members == {*JobRequest._fields} - {"trace"}
    assert set(re.findall(r"request->'image'->>'(\w+)'", statement)) <= {*RequestImage._fields}
    assert set(re.findall(r"run->>'(\w+)'", statement)) == {*RUN_MEMBERS}


def test_workers_write_the_members_that_a_run_has() -> None:
    assert tuple(orjson.loads(write_run(batch_size=1, predict_ms=1.5, worker="w"))) == RUN_MEMBERS


def test_a_job_in_memory_has_what_its_record_has() -> None:
    named = {"status": "state"}
    members = {named.get(field.name, field.name) for field in fields(Job)}
    assert members == {*RECORD_FIELDS} - {"run"} | {*RUN_MEMBERS}
