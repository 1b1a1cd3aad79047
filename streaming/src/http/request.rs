//! The head of a request.

use percent_encoding::percent_decode_str;

use super::answer::Status;

/// The longest head that is read.
pub(crate) const MAX_HEAD: usize = 8 << 10;
/// The most fields that one has.
const MAX_FIELDS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Decoded, without the query.
    pub(crate) path: String,
    pub(crate) range: Option<Vec<u8>>,
    pub(crate) if_range: Option<Vec<u8>>,
}

/// The request whose head `bytes` begin with; `None` if more has to come.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Request>, Status> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Status::HeadTooLarge);
        }
        Err(httparse::Error::Version) => return Err(Status::VersionNotSupported),
        Err(_) => return Err(Status::BadRequest),
    }
    let field = |name: &str| {
        let mut values = parsed
            .headers
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.to_vec());
        (values.next(), values.next().is_some())
    };
    let (host, hosts) = field("host");
    if hosts || (host.is_none() && parsed.version == Some(1)) {
        return Err(Status::BadRequest);
    }
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(Status::MethodNotAllowed),
    };
    let path = path(parsed.path.unwrap_or_default()).ok_or(Status::BadRequest)?;
    // Two ranges in two fields are several, which are ignored.
    let range = match field("range") {
        (range, false) => range,
        (_, true) => None,
    };
    Ok(Some(Request {
        method,
        path,
        range,
        if_range: field("if-range").0,
    }))
}

/// The path of a request's target, which is a path or a whole address.
fn path(target: &str) -> Option<String> {
    let path = match target.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("http://") => {
            let rest = &target[7..];
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    let path = path.split(['?', '#']).next()?;
    if !path.starts_with('/') {
        return None;
    }
    let path = percent_decode_str(path).decode_utf8().ok()?;
    (!path.contains('\0')).then(|| path.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Option<Request>, Status> {
        parse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
    }

    fn path_of(target: &str) -> Option<String> {
        get(target).ok().flatten().map(|request| request.path)
    }

    #[test]
    fn paths() {
        assert_eq!(path_of("/a%20b/c?d=e").as_deref(), Some("/a b/c"));
        assert_eq!(path_of("http://host:1/a").as_deref(), Some("/a"));
        assert_eq!(path_of("HTTP://host").as_deref(), Some("/"));
        for wrong in ["a", "*", "/%ff", "/a%00b", "ftp://a/b"] {
            assert_eq!(get(wrong), Err(Status::BadRequest), "{wrong}");
        }
    }

    #[test]
    fn heads() {
        let status = |text: &str| parse(text.as_bytes()).err();
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(
            status("POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Some(Status::MethodNotAllowed)
        );
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), Some(Status::BadRequest));
        assert_eq!(
            status("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
            Some(Status::BadRequest)
        );
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), None);
        assert_eq!(
            status("GET / HTTP/2.0\r\n\r\n"),
            Some(Status::VersionNotSupported)
        );
        assert_eq!(status("\x16\x03\x01 a TLS hello"), Some(Status::BadRequest));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(64));
        assert_eq!(status(&many), Some(Status::HeadTooLarge));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(status(&long), Some(Status::HeadTooLarge));
    }

    #[test]
    fn ranges_are_kept_as_they_are() {
        let with = |fields: &str| {
            let text = format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            parse(text.as_bytes()).unwrap().unwrap().range
        };
        assert_eq!(
            with("rAnGe: bytes=0-1\r\n").as_deref(),
            Some(&b"bytes=0-1"[..])
        );
        assert_eq!(with("Range: bytes=0-1\r\nRange: bytes=3-4\r\n"), None);
    }
}
