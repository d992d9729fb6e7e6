//! `oci:`: an OCI image layout on disk (image-spec, image-layout.md).
