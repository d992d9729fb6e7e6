//! What does a client see of a registry? Every file of tests is a module of this program.

mod auth;
mod beside;
mod clients;
mod clients_engines;
mod clients_secured;
mod collected;
mod conformance;
mod depot;
mod documents;
mod failing;
mod gathered;
mod habits;
mod health;
mod http2;
mod large;
mod malformed;
mod oauth;
mod repositories;
mod sent;
mod suite;
mod support;
mod tls;
mod tokens;
mod uploads;
