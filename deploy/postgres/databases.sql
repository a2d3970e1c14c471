-- Runs once, when the volume is new: two databases, each with an owner of its own who has no access to the other.
\getenv darkroom_password DARKROOM_DATABASE_PASSWORD
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD

CREATE ROLE darkroom LOGIN PASSWORD :'darkroom_password';
CREATE DATABASE darkroom OWNER darkroom;
REVOKE ALL ON DATABASE darkroom FROM PUBLIC;

CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow FROM PUBLIC;
