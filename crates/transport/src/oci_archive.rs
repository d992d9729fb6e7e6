//! `oci-archive:`: an OCI layout in a tar file.
