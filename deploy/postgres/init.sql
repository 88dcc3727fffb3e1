-- Roles and databases, made once on an empty server: who has one password reads only its own database.
-- On a managed PostgreSQL run it with psql as an administrator, with the same variables set.
\set ON_ERROR_STOP on
\getenv temporal_password TEMPORAL_DATABASE_PASSWORD
\getenv stillmotion_password STILLMOTION_DATABASE_PASSWORD
\getenv api_password STILLMOTION_API_DATABASE_PASSWORD

CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;

-- CREATEROLE is for the migrations: they look after `stillmotion_starter`, which may touch neither plans nor money.
CREATE ROLE stillmotion LOGIN CREATEROLE PASSWORD :'stillmotion_password';
CREATE ROLE stillmotion_starter NOLOGIN;
GRANT stillmotion_starter TO stillmotion WITH ADMIN OPTION;
CREATE DATABASE stillmotion OWNER stillmotion;

-- The API's own way in: it can't become the owner.
CREATE ROLE stillmotion_api LOGIN PASSWORD :'api_password' IN ROLE stillmotion_starter;

REVOKE CONNECT ON DATABASE temporal, temporal_visibility, stillmotion FROM PUBLIC;
GRANT CONNECT ON DATABASE stillmotion TO stillmotion_starter;
