//! `docker://`: registries, by distribution-spec.
