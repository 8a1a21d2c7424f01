//! Proxies that `HTTPS_PROXY` names: over HTTP, over TLS, and SOCKS 5.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::each_at_once;
use crate::support::http::read_head;
use crate::support::program::finish;
use crate::support::standin::numbered;
use crate::support::tls::{Authority, Client, Identity, TlsServer, config, listen, params, self_signed};

#[test]
fn a_proxy_leads_to_the_server_or_says_why_not() {
    let authority = Authority::new();
    let server = TlsServer::new(&authority.sign(&params(&["lxd.example"])));
    let to = server.port;
    let (hearing, asked) = mpsc::channel();
    let proxy = listen("127.0.0.1:0", move |stream| {
        let _ = hearing.send(read_head(&stream));
        let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut back, mut there) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut there));
        let _ = std::io::copy(&mut &stream, &mut server);
    });
    let client = Client::new("https://lxd.example:8443");
    client.file("client.ca", &authority.certificate);
    let through = |url: &str| finish(client.command(&["-v", "--debug"]).env("HTTPS_PROXY", url));
    let outcome = through(&format!("http://me:pa%73s@127.0.0.1:{proxy}"));
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    let head = asked.recv().unwrap();
    assert!(head.starts_with("CONNECT lxd.example:8443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n"), "{head}");
    assert!(!outcome.stderr.contains("pass") && !outcome.stderr.contains("bWU6"), "{}", outcome.stderr);

    for (answer, says) in [
        (&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], "it refuses to connect to lxd.example:8443: 403 Forbidden\nhint: "),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it requires a login (407)\nhint: "),
        (b"nonsense\r\n\r\n", "it does not answer in HTTP\nhint: "),
        (b"", "it closes the connection without an answer\nhint: "),
    ] {
        let proxy = listen("127.0.0.1:0", move |mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        });
        let outcome = through(&format!("http://127.0.0.1:{proxy}"));
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
    }
    let outcome = through("ftp://me:secret@127.0.0.1:1080");
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("only http://, https:// and socks5:// proxies can be used"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
}

/// A proxy that is spoken to over TLS. The heads of its requests come through the channel. Returns its port.
fn tls_proxy(identity: &Identity, to: u16) -> (u16, mpsc::Receiver<String>) {
    let config = config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (hearing, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, hearing) = (acceptor.clone(), hearing.clone());
                tokio::spawn(async move {
                    // Fails if the client does not accept the certificate.
                    let Ok(mut client) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(client.read_u8().await.unwrap());
                    }
                    let _ = hearing.send(String::from_utf8(head).unwrap());
                    let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    });
    (port, asked)
}

#[test]
fn a_proxy_over_tls_is_verified_by_the_systems_authorities() {
    let [servers, proxys] = [Authority::new(), Authority::new()];
    let server = TlsServer::new(&servers.sign(&params(&["lxd.example"])));
    let client = Client::new("https://lxd.example:8443");
    client.file("client.ca", &servers.certificate);
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), &proxys.certificate).unwrap();
    let through = |port: u16| {
        let url = format!("https://me:pass@127.0.0.1:{port}");
        finish(client.command(&["-v", "--debug"]).env("HTTPS_PROXY", url).env("SSL_CERT_FILE", roots.path()))
    };
    let (port, asked) = tls_proxy(&proxys.sign(&params(&["127.0.0.1"])), server.port);
    let outcome = through(port);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("pass") && !outcome.stderr.contains("bWU6"), "{}", outcome.stderr);
    let head = asked.recv().unwrap();
    assert!(head.starts_with("CONNECT lxd.example:8443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n"), "{head}");

    let plain = listen("127.0.0.1:0", |mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    });
    let closing = listen("127.0.0.1:0", drop);
    for (port, says) in [
        // client.ca is for servers only.
        (tls_proxy(&servers.sign(&params(&["127.0.0.1"])), server.port).0, "no authority that the system trusts has"),
        (tls_proxy(&self_signed(&params(&["127.0.0.1"])), server.port).0, "no authority that the system trusts has"),
        (tls_proxy(&proxys.sign(&params(&["other"])), server.port).0, "its certificate is for another name"),
        (plain, "it does not speak TLS on this port"),
        (closing, "it ends the connection during the TLS handshake"),
    ] {
        let outcome = through(port);
        assert_eq!(outcome.status, 1, "{}", outcome.stderr);
        let error = format!("lxmon: n1: proxy 127.0.0.1:{port}: {says}");
        assert!(outcome.stderr.contains(&error), "{error}: {}", outcome.stderr);
        assert!(outcome.stderr.ends_with("\nhint: HTTPS_PROXY names the proxy, NO_PROXY lists exceptions\n"));
        assert!(!outcome.stderr.contains("pass") && !outcome.stderr.contains("bWU6"), "{}", outcome.stderr);
    }
}

/// A SOCKS 5 proxy (RFC 1928, RFC 1929) that requires this user and password, if there are any, and answers the request
/// to connect with this code: 0 connects to the port `to`. The targets that it was asked for come through the channel.
fn socks_proxy(login: Option<(&'static str, &'static str)>, code: u8, to: u16) -> (u16, mpsc::Receiver<String>) {
    let (hearing, asked) = mpsc::channel();
    let port = listen("127.0.0.1:0", move |mut stream| {
        let read = |mut stream: &TcpStream, length: u8| {
            let mut bytes = vec![0; usize::from(length)];
            stream.read_exact(&mut bytes).map(|()| bytes)
        };
        let mut serve = || -> std::io::Result<()> {
            let methods = read(&stream, 2)?[1];
            let methods = read(&stream, methods)?;
            let method = if login.is_some() { 2 } else { 0 };
            if !methods.contains(&method) {
                return stream.write_all(&[5, 0xff]);
            }
            stream.write_all(&[5, method])?;
            if let Some((user, password)) = login {
                let length = read(&stream, 2)?[1];
                let given_user = read(&stream, length)?;
                let length = read(&stream, 1)?[0];
                let given_password = read(&stream, length)?;
                let is_right = given_user == user.as_bytes() && given_password == password.as_bytes();
                stream.write_all(&[1, u8::from(!is_right)])?;
                if !is_right {
                    return Ok(());
                }
            }
            // CONNECT to a name, which the proxy has to resolve.
            assert_eq!(read(&stream, 4)?, [5, 1, 0, 3]);
            let length = read(&stream, 1)?[0];
            let name = String::from_utf8(read(&stream, length)?).unwrap();
            let port = read(&stream, 2)?;
            let _ = hearing.send(format!("{name}:{}", u16::from_be_bytes([port[0], port[1]])));
            stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0])?;
            if code == 0 {
                let mut server = TcpStream::connect(("127.0.0.1", to))?;
                let (mut back, mut there) = (server.try_clone()?, stream.try_clone()?);
                std::thread::spawn(move || std::io::copy(&mut back, &mut there));
                std::io::copy(&mut &stream, &mut server)?;
            }
            Ok(())
        };
        let _ = serve();
    });
    (port, asked)
}

#[test]
fn a_socks_proxy_leads_to_the_server_or_says_why_not() {
    let authority = Authority::new();
    let server = TlsServer::new(&authority.sign(&params(&["lxd.example"])));
    let client = Client::new("https://lxd.example:8443");
    client.file("client.ca", &authority.certificate);
    let through = |login: &str, port: u16| {
        let url = format!("socks5://{login}127.0.0.1:{port}");
        let outcome = finish(client.command(&["-v", "--debug"]).env("HTTPS_PROXY", url));
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
        outcome
    };
    for (required, login) in [(None, ""), (None, "me:secret@"), (Some(("me", "secret: 1")), "me:secret%3A%201@")] {
        let (port, asked) = socks_proxy(required, 0, server.port);
        let outcome = through(login, port);
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
        assert_eq!(asked.recv().unwrap(), "lxd.example:8443");
    }
    let name = "lxd.example:8443";
    let garbage = listen("127.0.0.1:0", |mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    });
    let closing = listen("127.0.0.1:0", |mut stream| _ = stream.read(&mut [0; 1024]));
    let socks = |login, code| socks_proxy(login, code, server.port).0;
    for (port, login, says) in [
        (
            socks(Some(("me", "x")), 0),
            "",
            "it requires a login\nhint: write HTTPS_PROXY=socks5://user:password@".into(),
        ),
        (socks(Some(("me", "x")), 0), "me:secret@", "it does not accept the login\nhint: write HTTPS_PROXY=".into()),
        (socks(None, 1), "", format!("it cannot connect to {name}: general failure\nhint: HTTPS_PROXY names ")),
        (socks(None, 2), "", format!("it refuses to connect to {name}: not allowed by its rules\nhint: ")),
        (socks(None, 3), "", format!("it cannot connect to {name}: network unreachable\n")),
        (socks(None, 4), "", format!("it cannot connect to {name}: host unreachable\n")),
        (socks(None, 5), "", format!("it cannot connect to {name}: connection refused\n")),
        (socks(None, 6), "", format!("it cannot connect to {name}: no answer\n")),
        // A code that has no meaning.
        (socks(None, 77), "", "it does not answer in SOCKS 5\n".into()),
        (garbage, "", "it does not answer in SOCKS 5\n".into()),
        (closing, "", "it closes the connection without an answer\n".into()),
    ] {
        let outcome = through(login, port);
        assert_eq!(outcome.status, 1, "{says}: {}", outcome.stderr);
        let error = format!("lxmon: n1: proxy 127.0.0.1:{port}: {says}");
        assert!(outcome.stderr.contains(&error), "{error}: {}", outcome.stderr);
    }
}

#[test]
fn a_proxy_that_does_not_answer_is_not_waited_for_like_a_server() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new("https://lxd.example:8443");
    each_at_once(["http", "https", "socks5"], |scheme| {
        let url = format!("{scheme}://{}", silent.local_addr().unwrap());
        let outcome = finish(client.command(&["--no-reconnect"]).env("HTTPS_PROXY", url));
        let error = format!("lxmon: n1: proxy {}: no answer within 9 s\n", silent.local_addr().unwrap());
        assert!(outcome.stderr.contains(&error), "{scheme}: {}", outcome.stderr);
    });
}
