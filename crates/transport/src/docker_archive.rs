//! `docker-archive:`: what `docker save` writes and `docker load` reads.
