//! What an OCI image is made of: digests, descriptors, manifests, indexes, configs, platforms, references.
