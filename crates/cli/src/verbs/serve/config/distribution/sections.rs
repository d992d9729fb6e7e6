//! What does each section of registry:2's configuration come to? What is understood is taken out of the tree, so that what is left is not.

use std::path::Path;

use super::{Translated, Translation};
use crate::yaml::{Node, Value};

/// Where registry:2 keeps what is pushed, if it is told nothing.
const ROOT: &str = "/var/lib/registry";
/// Where ours lies in that directory, beside what registry:2 has there.
const BESIDE: &str = "teu";
/// What registry:2 has there.
const ITS_OWN: &str = "docker/registry/v2";
/// For as long as nobody will wait: uploads that are never purged.
const NEVER: &str = "876000h";

impl Translation<'_> {
    pub(super) fn http(&mut self) -> Result<(), String> {
        if let Some(net) = self.text("http.net")?.filter(|net| !matches!(net.as_str(), "" | "tcp")) {
            return Err(format!(
                "{}: http.net is {net}, and only tcp is listened at",
                self.at("http.net")
            ));
        }
        self.pass("http.addr", "listen")?;
        self.pass("http.prefix", "prefix")?;
        let relative = self.switch("http.relativeurls")?.unwrap_or(false);
        match self.text("http.host")?.filter(|host| !host.is_empty()) {
            Some(host) => self.say("location", host, "http.host"),
            None if relative => self.say("location", "relative", "http.relativeurls"),
            None => self.say("location", "absolute", "http.relativeurls"),
        }
        if let Some(headers) = self.root.take(&["http", "headers"]) {
            let Value::Map(headers) = headers.value else {
                return Err(format!(
                    "{}: http.headers has names and values",
                    self.place(&headers, "http.headers")
                ));
            };
            for (name, values) in headers {
                let values = self.list_of(values, &format!("http.headers.{name}"))?;
                let values = values.into_iter().map(|value| format!("{name}: {value}"));
                self.say_all("header", values.collect(), &format!("http.headers.{name}"));
            }
        }
        if self.switch("http.http2.disabled")?.unwrap_or(false) {
            self.say("http2", "false", "http.http2.disabled");
        }
        // Its default is to wait for nobody, which is worth no connection broken off.
        if let Some(time) = self.text("http.draintimeout")?.filter(|time| time != "0") {
            self.say("time-stop", time, "http.draintimeout");
        }
        self.tls()?;
        if let Some(address) = self.text("http.debug.addr")?.filter(|address| !address.is_empty()) {
            // It answers /debug/health whether or not it tells Prometheus.
            self.say("metrics", address, "http.debug.addr");
            let path = self.text("http.debug.prometheus.path")?;
            if self.switch("http.debug.prometheus.enabled")?.unwrap_or(false) {
                if let Some(path) = path.filter(|path| !path.is_empty()) {
                    self.say("metrics-path", path, "http.debug.prometheus.path");
                }
                self.differs(
                    "http.debug.prometheus",
                    "metrics are called teu_registry_…, and none as registry:2's",
                );
            }
        }
        Ok(())
    }

    fn tls(&mut self) -> Result<(), String> {
        self.pass("http.tls.certificate", "tls-certificate")?;
        self.pass("http.tls.key", "tls-key")?;
        let how = self.text("http.tls.clientauth")?;
        let authorities = match self.root.take(&["http", "tls", "clientcas"]) {
            Some(authorities) => self.list_of(authorities, "http.tls.clientcas")?,
            None => Vec::new(),
        };
        match authorities.is_empty() {
            true if how.as_ref().is_some_and(|how| !how.is_empty()) => {
                let why = "no client is asked for a certificate where http.tls.clientcas names no authority";
                self.differs("http.tls.clientauth", why);
            }
            true => {}
            false => {
                self.say_all("tls-clients", authorities, "http.tls.clientcas");
                // There a certificate opens the connection alone: passwords are asked for besides.
                self.say("tls-clients-unnamed", "true", "http.tls.clientcas");
                match how.as_deref() {
                    None | Some("" | "require-and-verify-client-cert") => {
                        self.say("tls-clients-required", "true", "http.tls.clientcas");
                    }
                    Some("verify-client-cert-if-given") => {}
                    Some(other) => {
                        return Err(format!(
                            "{}: http.tls.clientauth is {other}, which verifies nothing",
                            self.at("http.tls.clientauth")
                        ));
                    }
                }
            }
        }
        match self.text("http.tls.minimumtls")?.as_deref() {
            None | Some("" | "tls1.0" | "tls1.1" | "tls1.2") => Ok(()),
            Some(other) => {
                let message = format!(
                    "{}: http.tls.minimumtls has no meaning here: TLS 1.2 is spoken too, not {other} alone",
                    self.at("http.tls.minimumtls")
                );
                self.translated.warnings.push(message);
                Ok(())
            }
        }
    }

    pub(super) fn storage(&mut self, has_data: bool) -> Result<(), String> {
        let deletes = self.switch("storage.delete.enabled")?.unwrap_or(false);
        let read_only = self.switch("storage.maintenance.readonly.enabled")?.unwrap_or(false);
        if read_only {
            self.say("read-only", "true", "storage.maintenance.readonly.enabled");
        } else if deletes {
            self.say("deletes", "true", "storage.delete.enabled");
        }
        let purges = self
            .switch("storage.maintenance.uploadpurging.enabled")?
            .unwrap_or(true);
        let dry = self
            .switch("storage.maintenance.uploadpurging.dryrun")?
            .unwrap_or(false);
        let age = self.text("storage.maintenance.uploadpurging.age")?;
        if self
            .root
            .take(&["storage", "maintenance", "uploadpurging", "interval"])
            .is_some()
        {
            let why = "what is idle for too long is looked for each minute, or as --gc-interval says";
            self.differs("storage.maintenance.uploadpurging.interval", why);
        }
        match (purges && !dry, age) {
            (true, None) => self.say("idle-upload-kept", "168h", "storage.maintenance.uploadpurging"),
            (true, Some(age)) => self.say("idle-upload-kept", age, "storage.maintenance.uploadpurging.age"),
            (false, _) => self.say("idle-upload-kept", NEVER, "storage.maintenance.uploadpurging.enabled"),
        }
        // That it is to be so needs no word: nothing is ever redirected.
        if self.switch("storage.redirect.disable")? == Some(false) {
            self.differs("storage.redirect.disable", "nothing is redirected");
        }
        let root = self
            .text("storage.filesystem.rootdirectory")?
            .unwrap_or_else(|| ROOT.to_owned());
        let root = Path::new(&root);
        let data = root.join(BESIDE);
        let shown = data.display().to_string();
        if !has_data {
            self.say("data", shown.clone(), "storage.filesystem.rootdirectory");
        }
        if root.join(ITS_OWN).is_dir() && !data.exists() {
            self.translated.warnings.push(format!(
                "{} has what registry:2 kept: that stays as it is and is not served; bring it in, before this server runs, by \
                 `teu serve import --data {shown} registry:{}`",
                root.join(ITS_OWN).display(),
                root.display()
            ));
        }
        Ok(())
    }

    pub(super) fn auth(&mut self) -> Result<(), String> {
        self.pass("auth.htpasswd.path", "htpasswd")?;
        self.pass("auth.htpasswd.realm", "realm")?;
        let named = |value: &Option<&Node>, name: &str| match value.map(|node| &node.value) {
            Some(Value::Text(text)) => text == name,
            Some(Value::Map(pairs)) => pairs.iter().any(|(key, _)| key == name),
            _ => false,
        };
        let auth = self.root.get("auth");
        let (htpasswd, token) = (named(&auth, "htpasswd"), named(&auth, "token"));
        let says = |translated: &Translated, name: &str| translated.said.iter().any(|said| said.name == name);
        if htpasswd && !says(&self.translated, "htpasswd") {
            return Err(format!("{}: auth.htpasswd has no path", self.at("auth.htpasswd")));
        }
        if !token {
            return Ok(());
        }
        for (key, name) in [
            ("auth.token.realm", "token-url"),
            ("auth.token.service", "token-service"),
            ("auth.token.issuer", "token-issuer"),
        ] {
            self.pass(key, name)?;
            if !says(&self.translated, name) {
                return Err(format!(
                    "{}: {key} is not there, which says whose tokens are believed",
                    self.at(key)
                ));
            }
        }
        let keys = self.text("auth.token.jwks")?.filter(|path| !path.is_empty());
        let bundle = self.text("auth.token.rootcertbundle")?.filter(|path| !path.is_empty());
        match (keys, bundle) {
            (Some(keys), None) => self.say("token-keys", keys, "auth.token.jwks"),
            (None, Some(bundle)) => self.say("token-keys", bundle, "auth.token.rootcertbundle"),
            (Some(keys), Some(_)) => {
                self.say("token-keys", keys, "auth.token.jwks");
                let message = format!(
                    "{}: auth.token.rootcertbundle has no meaning here beside jwks, whose keys are believed alone",
                    self.at("auth.token.rootcertbundle")
                );
                self.translated.warnings.push(message);
            }
            (None, None) => {
                return Err(format!(
                    "{}: auth.token has neither rootcertbundle nor jwks, so that no token can be checked",
                    self.at("auth.token")
                ));
            }
        }
        Ok(())
    }

    pub(super) fn rest(&mut self) -> Result<(), String> {
        match self.text("log.formatter")?.as_deref() {
            None | Some("") => {}
            Some("text") => self.say("log-format", "text", "log.formatter"),
            Some("json" | "logstash") => self.say("log-format", "json", "log.formatter"),
            Some(other) => {
                return Err(format!(
                    "{}: log.formatter is {other}, and none of text, json and logstash",
                    self.at("log.formatter")
                ));
            }
        }
        if self.switch("log.accesslog.disabled")?.unwrap_or(false) {
            self.say("log-requests", "failures", "log.accesslog.disabled");
        }
        if let Some(level) = self
            .text("log.level")?
            .filter(|level| !matches!(level.as_str(), "" | "info"))
        {
            let why = format!("there are lines of requests and of what goes wrong, and none more or less at {level}");
            self.differs("log.level", &why);
        }
        if self.root.take(&["health", "storagedriver"]).is_some() {
            let why = "/readyz, and /debug/health at http.debug.addr, look whether what is kept can be reached when they are asked";
            self.differs("health.storagedriver", why);
        }
        let unchecked = self.switch("validation.disabled")?.unwrap_or(false);
        let enabled = self.switch("validation.enabled")?.unwrap_or(true);
        let platforms = self.text("validation.manifests.indexes.platforms")?;
        let some = matches!(platforms.as_deref(), Some("none" | "list"));
        if self
            .root
            .take(&["validation", "manifests", "indexes", "platformlist"])
            .is_some()
        {
            let why = "an index may lack images of any platform, or of none";
            self.differs("validation.manifests.indexes.platformlist", why);
        }
        // There too an image has its config and its layers, whatever is not validated.
        if unchecked || !enabled || some {
            self.say("sparse-indexes", "true", "validation");
        }
        if self.root.take(&["catalog", "maxentries"]).is_some() {
            let why = "a page of any list, of tags too, has as many items as max.page says";
            self.differs("catalog.maxentries", why);
        }
        Ok(())
    }

    /// Something is understood, and is not here as it is there.
    fn differs(&mut self, path: &str, why: &str) {
        let message = format!("{}: {path} has no meaning here: {why}", self.at(path));
        self.translated.warnings.push(message);
    }
}
