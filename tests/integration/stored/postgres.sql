SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.darkroom_uuid7() RETURNS uuid
    LANGUAGE sql
    AS $$
            SELECT encode(set_bit(set_bit(overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ), 52, 1), 53, 1), 'hex')::uuid
        $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_keys (
    id uuid DEFAULT public.darkroom_uuid7() NOT NULL,
    owner text NOT NULL,
    hash text NOT NULL,
    shown text NOT NULL,
    role text NOT NULL,
    rate double precision,
    max_inflight integer,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_max_inflight CHECK ((max_inflight > 0)),
    CONSTRAINT api_keys_rate CHECK ((rate > (0)::double precision)),
    CONSTRAINT api_keys_role CHECK ((role = ANY (ARRAY['read'::text, 'submit'::text, 'admin'::text])))
);
CREATE TABLE public.batches (
    id uuid NOT NULL,
    owner text NOT NULL,
    total integer,
    succeeded integer DEFAULT 0 NOT NULL,
    failed integer DEFAULT 0 NOT NULL,
    canceled integer DEFAULT 0 NOT NULL,
    webhook jsonb,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    completed_at timestamp with time zone,
    model text,
    skipped integer DEFAULT 0 NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    changed_at timestamp with time zone,
    canceled_at timestamp with time zone,
    base_url text DEFAULT ''::text NOT NULL,
    skipped_files jsonb DEFAULT '[]'::jsonb NOT NULL
);
CREATE TABLE public.predictions (
    id uuid NOT NULL,
    owner text NOT NULL,
    batch_id uuid,
    custom_id text,
    model text NOT NULL,
    version text NOT NULL,
    version_key text NOT NULL,
    variant text NOT NULL,
    status text NOT NULL,
    source text NOT NULL,
    image_sha256 text NOT NULL,
    image jsonb NOT NULL,
    output jsonb,
    error text,
    error_code text,
    attempts integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    completed_at timestamp with time zone NOT NULL,
    queue_ms double precision,
    predict_ms double precision,
    batch_size integer,
    worker text,
    metadata jsonb NOT NULL,
    webhook jsonb,
    base_url text NOT NULL,
    CONSTRAINT predictions_source CHECK ((source = ANY (ARRAY['model'::text, 'cache'::text, 'coalesced'::text]))),
    CONSTRAINT predictions_status CHECK ((status = ANY (ARRAY['succeeded'::text, 'failed'::text, 'canceled'::text])))
);
CREATE TABLE public.webhook_attempts (
    delivery_id uuid NOT NULL,
    started_at timestamp with time zone NOT NULL,
    duration_ms double precision NOT NULL,
    status integer,
    error text,
    response text
);
CREATE TABLE public.webhook_deliveries (
    id uuid DEFAULT public.darkroom_uuid7() NOT NULL,
    owner text NOT NULL,
    subject uuid NOT NULL,
    event text NOT NULL,
    url text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    delivered_at timestamp with time zone,
    kind text DEFAULT 'prediction'::text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    body jsonb,
    destination text GENERATED ALWAYS AS (lower("substring"(url, '^[a-zA-Z]+://[^/?#]*'::text))) STORED NOT NULL,
    CONSTRAINT webhook_deliveries_kind CHECK ((kind = ANY (ARRAY['prediction'::text, 'batch'::text]))),
    CONSTRAINT webhook_deliveries_status CHECK ((status = ANY (ARRAY['pending'::text, 'delivered'::text, 'exhausted'::text])))
);
CREATE TABLE public.webhook_secrets (
    owner text NOT NULL,
    key text NOT NULL,
    retired_at timestamp with time zone
);
INSERT INTO public.alembic_version VALUES ('0006');
INSERT INTO public.batches VALUES ('01a21976-0a94-71ea-b312-9af8d5bf3423', 'ann', 2, 1, 1, 0, '{"url": "https://example.com/hook", "events": ["completed"]}', '2026-11-26 20:04:56.085973+00', '2026-11-26 20:04:56.112507+00', 'digits', 1, '{"who": "whole"}', '2026-11-26 20:04:56.112507+00', NULL, 'http://host:8000', '["labels.csv"]');
INSERT INTO public.predictions VALUES ('01a21976-0a62-7f04-b06b-7269b3db76b0', 'ann', NULL, NULL, 'digits', '3', '3-m-1', 'champion', 'succeeded', 'model', '6669727374000000000000000000000000000000000000000000000000000000', '{"bytes": 5, "width": 8, "format": "PNG", "height": 9, "filename": "first.png"}', '{"confidence": 0.998, "probabilities": {"1": 0.001, "7": 0.998}, "predicted_class": "7", "predicted_index": 7}', NULL, NULL, 1, '2026-11-26 20:04:56.068613+00', '2026-11-26 20:04:56.110509+00', '2026-11-26 20:04:56.112507+00', 41.896, 1.5, 2, 'old-1', '{"ward": 3}', '{"url": "https://example.com/hook", "events": ["completed", "start"]}', 'http://host:8000');
INSERT INTO public.predictions VALUES ('01a21976-0a85-707b-a847-59c788c113c6', 'ann', NULL, NULL, 'digits', '3', '3-m-1', 'champion', 'canceled', 'model', '6e65766572000000000000000000000000000000000000000000000000000000', '{"bytes": 5, "width": 8, "format": "PNG", "height": 9, "filename": "never.png"}', NULL, NULL, NULL, 0, '2026-11-26 20:04:56.071511+00', NULL, '2026-11-26 20:04:56.076592+00', NULL, NULL, NULL, NULL, '{"ward": 3}', NULL, 'http://host:8000');
INSERT INTO public.predictions VALUES ('01a21976-0a98-71e9-8bc6-4f2bf63de94b', 'ann', '01a21976-0a94-71ea-b312-9af8d5bf3423', 'second.png', 'digits', '3', '3-m-1', 'champion', 'succeeded', 'model', '7365636f6e640000000000000000000000000000000000000000000000000000', '{"bytes": 6, "width": 8, "format": "PNG", "height": 9, "filename": "second.png"}', '{"confidence": 0.998, "probabilities": {"1": 0.001, "7": 0.998}, "predicted_class": "7", "predicted_index": 7}', NULL, NULL, 1, '2026-11-26 20:04:56.091679+00', '2026-11-26 20:04:56.110509+00', '2026-11-26 20:04:56.112507+00', 18.83, 1.5, 2, 'old-1', '{}', NULL, '');
INSERT INTO public.predictions VALUES ('01a21976-0a9c-7171-bede-23ce80e54d01', 'ann', '01a21976-0a94-71ea-b312-9af8d5bf3423', 'notes.txt', 'digits', '3', '3-m-1', 'champion', 'failed', 'model', 'abababababababababababababababababababababababababababababababab', '{"bytes": 4, "width": null, "format": null, "height": null, "filename": "notes.txt"}', NULL, 'this is text', 'undecodable_image', 0, '2026-11-26 20:04:56.093241+00', NULL, '2026-11-26 20:04:56.093241+00', NULL, NULL, NULL, NULL, '{}', NULL, '');
INSERT INTO public.predictions VALUES ('01a21976-0ab1-7bd8-860b-b22b9252a9bb', 'ann', NULL, NULL, 'digits', '3', '3-m-1', 'champion', 'succeeded', 'cache', '6669727374000000000000000000000000000000000000000000000000000000', '{"bytes": 5, "width": 8, "format": "PNG", "height": 9, "filename": "first.png"}', '{"confidence": 0.998, "probabilities": {"1": 0.001, "7": 0.998}, "predicted_class": "7", "predicted_index": 7}', NULL, NULL, 0, '2026-11-26 20:04:56.113659+00', NULL, '2026-11-26 20:04:56.113659+00', NULL, NULL, NULL, NULL, '{"ward": 3}', NULL, 'http://host:8000');
INSERT INTO public.webhook_deliveries VALUES ('01a21976-0afa-7041-8b5f-3be079386d29', 'ann', '01a21976-0a62-7f04-b06b-7269b3db76b0', 'completed', 'https://example.com/hook', 0, '2026-11-26 20:04:56.185581+00', '2026-11-26 20:04:56.185581+00', NULL, 'prediction', 'pending', NULL, DEFAULT);
INSERT INTO public.webhook_deliveries VALUES ('01a21976-0b0e-7104-aaef-0cb1c6c4e1d1', 'ann', '01a21976-0a94-71ea-b312-9af8d5bf3423', 'completed', 'https://example.com/hook', 0, '2026-11-26 20:04:56.205656+00', '2026-11-26 20:04:56.205656+00', NULL, 'batch', 'pending', NULL, DEFAULT);
INSERT INTO public.webhook_secrets VALUES ('ann', 'whsec_wpHHIB8emNNhX85Lz+qgY4sELHUuu8DX/nE8o7J9WYw=', NULL);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_hash UNIQUE (hash);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.predictions
    ADD CONSTRAINT predictions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_attempts
    ADD CONSTRAINT webhook_attempts_pkey PRIMARY KEY (delivery_id, started_at);
ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_subject_event UNIQUE (subject, event);
ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT webhook_secrets_pkey PRIMARY KEY (owner, key);
CREATE INDEX batches_owner ON public.batches USING btree (owner, id);
CREATE INDEX predictions_batch ON public.predictions USING btree (batch_id, id) WHERE (batch_id IS NOT NULL);
CREATE INDEX predictions_owner ON public.predictions USING btree (owner, id);
CREATE INDEX predictions_owner_model ON public.predictions USING btree (owner, model, id);
CREATE INDEX predictions_owner_status ON public.predictions USING btree (owner, status, id) WHERE (status <> 'succeeded'::text);
CREATE INDEX webhook_deliveries_due ON public.webhook_deliveries USING btree (owner, destination, next_attempt_at) WHERE (status = 'pending'::text);
CREATE INDEX webhook_deliveries_owner ON public.webhook_deliveries USING btree (owner, id);
CREATE UNIQUE INDEX webhook_secrets_current ON public.webhook_secrets USING btree (owner) WHERE (retired_at IS NULL);
ALTER TABLE ONLY public.webhook_attempts
    ADD CONSTRAINT webhook_attempts_delivery_id_fkey FOREIGN KEY (delivery_id) REFERENCES public.webhook_deliveries(id) ON DELETE CASCADE;
