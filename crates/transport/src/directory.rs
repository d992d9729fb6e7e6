//! `dir:`: an image as flat files, in the manner of skopeo.
