//! Remotes that the clients log in to with OIDC: the saved tokens and session cookies, and logins that end.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::support::http::{header, json};
use crate::support::oidc::{Logins, OidcServer, Verdict};
use crate::support::program::{Follower, finish, lxmon};
use crate::support::standin::numbered;
use crate::support::tls::{Client, config, https, listen, over_tls, params, self_signed, send_one};

/// Puts a saved access token in its place.
fn save_token(client: &Client, token: &str) {
    let text = format!(
        r#"{{"access_token":"{token}","token_type":"Bearer","refresh_token":"refresh-secret","expiry":"2020-01-01T00:00:00Z","IDTokenClaims":{{"email":"me@example.org"}},"IDToken":"id-secret"}}"#
    );
    client.file("oidctokens/n1.json", &text);
}

/// Puts a cookie jar in its place, as `lxc` saves it.
fn save_session(client: &Client, session: &str, expires: &str) {
    let _ = fs::create_dir(client.directory.path().join("jars"));
    let text = format!(
        r#"{{"127.0.0.1":{{"127.0.0.1;/;session":{{"Name":"session","Value":"{session}","Quoted":false,"Domain":"127.0.0.1","Path":"/","SameSite":"SameSite=Strict","Secure":true,"HttpOnly":true,"Persistent":true,"HostOnly":true,"Expires":"{expires}","Creation":"2026-11-26T12:00:00.1Z","LastAccess":"2026-11-26T12:00:00.1Z"}}}}}}"#
    );
    client.file("jars/n1", &(text + "\n"));
}

const FUTURE: &str = "2999-01-01T00:00:00Z";

/// A server and a client with a remote for it.
fn pair() -> (OidcServer, Client) {
    let identity = self_signed(&params(&["lxd"]));
    let server = OidcServer::new(&identity);
    let client = Client::with(&https(server.port), "    auth_type: oidc\n");
    client.pin(&identity);
    (server, client)
}

fn follow(client: &Client) -> Follower {
    let mut command = lxmon(["--lxd", "n1:", "-f", "json", "--debug"]);
    command.env("LXD_CONF", client.directory.path());
    Follower::start(command)
}

fn is_event(number: u64) -> impl Fn(&str) -> bool {
    move |line| line == numbered(number)
}

/// Ends a follower, and asserts that nothing that it has printed contains a secret.
fn end(mut follower: Follower) -> Vec<String> {
    follower.terminate();
    let told = std::mem::take(&mut follower.notices);
    assert!(!told.iter().any(|line| line.contains("secret")), "{told:#?}");
    told
}

#[test]
fn a_saved_session_logs_in_to_lxd() {
    let (server, client) = pair();
    server.logins().sessions.insert("jar-secret".into(), true);
    save_token(&client, "old-secret");
    save_session(&client, "jar-secret", FUTURE);
    let outcome = finish(&mut client.command(&["-v", "--debug"]));
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(", as me@example.org\n"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
    let head = server.request();
    assert_eq!(header(&head, "Cookie"), Some("session=jar-secret"));
    assert_eq!(header(&head, "Authorization"), Some("Bearer old-secret"));
    let user_agent = header(&head, "User-Agent").unwrap();
    assert!(user_agent.starts_with("LXD 6.6 (Linux; ") && user_agent.contains("lxmon/"), "{user_agent}");
    assert_eq!(server.logins().begun, 0);

    // The session is enough.
    fs::remove_file(client.directory.path().join("oidctokens/n1.json")).unwrap();
    assert_eq!(client.follow().status, 0);
    assert_eq!(header(&server.request(), "Authorization"), None);
    // Neither file is there any more, or the cookie has expired.
    save_session(&client, "jar-secret", "2020-01-01T00:00:00Z");
    client.refuse("n1.json: there is no saved login\nhint: log in again: lxc list n1:\n");
    fs::remove_dir_all(client.directory.path().join("jars")).unwrap();
    client.refuse("n1.json: there is no saved login\nhint: log in again: lxc list n1:\n");
}

#[test]
fn a_session_that_has_ended_leaves_the_token() {
    let (server, client) = pair();
    server.logins().sessions.insert("jar-secret".into(), false);
    server.logins().tokens.insert("token-secret".into());
    save_token(&client, "token-secret");
    save_session(&client, "jar-secret", FUTURE);
    assert_eq!(client.follow().status, 0);
    assert_eq!(server.logins().begun, 1);
}

#[test]
fn a_session_that_the_server_begins_is_kept_while_lxmon_runs() {
    let (server, client) = pair();
    server.logins().tokens.insert("token-secret".into());
    save_token(&client, "token-secret");
    let files = || {
        let names = fs::read_dir(client.directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = files();
    let mut follower = follow(&client);
    follower.wait_for(is_event(0));
    server.logins().tokens.clear();
    server.hang_up();
    follower.wait_for(is_event(1));
    end(follower);
    assert_eq!(header(&server.request(), "Cookie"), None);
    assert_eq!(header(&server.request(), "Cookie"), Some("session=cookie-secret-1"));
    assert_eq!(server.logins().begun, 1);
    // It is not written.
    assert_eq!(files(), before);
}

#[test]
fn a_login_that_has_ended_at_the_start_is_an_error() {
    let (server, client) = pair();
    server.logins().sessions.insert("jar-secret".into(), false);
    save_token(&client, "old-secret");
    save_session(&client, "jar-secret", FUTURE);
    for options in [&[][..], &["--retry"]] {
        let outcome = finish(&mut client.command(options));
        assert_eq!(outcome.status, 1);
        let error = "lxmon: n1: the server refuses (401): Failed OIDC Authentication: ";
        assert!(outcome.stderr.starts_with(error), "{}", outcome.stderr);
        assert!(
            outcome.stderr.ends_with(", as me@example.org)\nhint: log in again: lxc list n1:\n"),
            "{}",
            outcome.stderr
        );
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
    }
    assert_eq!(server.requests.try_iter().count(), 2);
}

#[test]
fn a_login_that_ends_meanwhile_is_waited_for_until_it_is_renewed() {
    let (server, client) = pair();
    server.logins().sessions.insert("jar-secret".into(), true);
    save_token(&client, "token-secret");
    save_session(&client, "jar-secret", FUTURE);
    let mut follower = follow(&client);
    follower.wait_for(is_event(0));
    server.request();

    // Revoked, and the token has expired.
    server.logins().sessions.insert("jar-secret".into(), false);
    server.hang_up();
    follower.wait_for_notice("Failed OIDC Authentication: ");
    // The server has deleted the cookie, which is not sent again.
    assert_eq!(header(&server.request(), "Cookie"), Some("session=jar-secret"));
    for _ in 0..2 {
        assert_eq!(header(&server.request(), "Cookie"), None);
    }
    // Nothing is left to be sent, and then not even a file.
    fs::remove_file(client.directory.path().join("oidctokens/n1.json")).unwrap();
    follower.wait_for_notice("the server refuses (403): Forbidden (tried: login from ");
    fs::remove_file(client.directory.path().join("jars/n1")).unwrap();
    follower.wait_for_notice("n1.json: there is no saved login; trying again");

    // The user logs in again.
    server.logins().sessions.insert("new-secret".into(), true);
    save_session(&client, "new-secret", FUTURE);
    follower.wait_for(is_event(1));
    follower.wait_for_notice("may be missing");
    let told = end(follower);
    let asked: Vec<_> = told.iter().filter(|line| line.ends_with("until you log in again: lxc list n1:")).collect();
    assert_eq!(asked.len(), 1, "{told:#?}");
    assert!(asked[0].contains("the server refuses (401): Failed OIDC Authentication: "), "{asked:?}");
    assert!(told.iter().any(|line| line.contains("; reconnected after ")), "{told:#?}");
}

#[test]
fn a_session_cookie_that_the_server_cannot_verify_is_not_sent_twice() {
    let (server, client) = pair();
    server.logins().sessions.insert("jar-secret".into(), true);
    server.logins().tokens.insert("token-secret".into());
    save_token(&client, "token-secret");
    save_session(&client, "jar-secret", FUTURE);
    let mut follower = follow(&client);
    follower.wait_for(is_event(0));
    // The server has other secrets now.
    server.logins().sessions.clear();
    server.hang_up();
    follower.wait_for(is_event(1));
    let told = end(follower);
    assert!(
        told.iter().any(|line| line.contains("(403): Failed OIDC Authentication: Session token invalid")),
        "{told:#?}"
    );
    let cookies: Vec<_> = server.requests.try_iter().map(|head| header(&head, "Cookie").map(str::to_owned)).collect();
    let jar = Some("session=jar-secret".to_owned());
    assert_eq!(cookies, [jar.clone(), jar, None]);
}

#[test]
fn the_token_of_the_environment_is_not_used_for_oidc_remotes() {
    let (server, client) = pair();
    server.logins().tokens.insert("token-secret".into());
    save_token(&client, "token-secret");
    let outcome = finish(client.command(&[]).env("LXD_AUTH_BEARER_TOKEN", "environment-secret"));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(header(&server.request(), "Authorization"), Some("Bearer token-secret"));
}

/// An Incus client's command for the same files.
fn incus(client: &Client) -> Command {
    let mut command = lxmon(["--incus", "n1:", "-f", "json", "-n2"]);
    command.env("INCUS_CONF", client.directory.path());
    command
}

#[test]
fn incus_gets_the_token_alone_and_is_waited_for_too() {
    let identity = self_signed(&params(&["incus"]));
    let config = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
    let connections = AtomicUsize::new(0);
    let (hearing, requests) = mpsc::channel();
    let port = listen("127.0.0.1:0", move |stream| {
        let mut stream = over_tls(&config, stream);
        let _ = match connections.fetch_add(1, Ordering::SeqCst) {
            // Incus refuses those that are not logged in with 401 or 403.
            number @ 1..=2 => {
                let status = if number == 1 { "403 Forbidden" } else { "401 Unauthorized" };
                let mut request = [0; 4096];
                let _ = std::io::Read::read(&mut stream, &mut request);
                let body = r#"{"type":"error","error":"not authorized","error_code":403}"#;
                let answer = json(status, "X-Incus-OIDC-issuer: https://x\r\n", body);
                std::io::Write::write_all(&mut stream, answer.as_bytes())
            }
            _ => send_one(&mut stream, &hearing),
        };
    });
    let client = Client::with(&https(port), "    auth_type: oidc\n");
    client.pin(&identity);
    save_token(&client, "token-secret");
    save_session(&client, "jar-secret", FUTURE);
    let outcome = finish(&mut incus(&client));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let asked = outcome.stderr.matches("until you log in again: incus list n1:\n").count();
    assert_eq!(asked, 1, "{}", outcome.stderr);
    let head = requests.recv().unwrap();
    assert_eq!(header(&head, "Authorization"), Some("Bearer token-secret"));
    assert_eq!(header(&head, "Cookie"), None);
    assert!(header(&head, "User-Agent").unwrap().starts_with("lxmon/"), "{head}");
}

#[test]
fn the_stand_in_decides_as_lxd_does() {
    const JAR: &str = "User-Agent: LXD 6.9 (Linux; x86_64) (cookiejar)\r\n";
    let mut logins = Logins::default();
    logins.sessions.insert("live".into(), true);
    logins.sessions.insert("ended".into(), false);
    logins.tokens.insert("good".into());
    for (cookie, token, user_agent, status) in [
        ("live", "", "", 101),
        ("live", "bad", "", 101),
        ("ended", "", JAR, 401),
        ("ended", "bad", JAR, 401),
        ("ended", "good", JAR, 101),
        ("ended", "good", "", 403),
        ("forged", "good", JAR, 403),
        ("", "good", JAR, 101),
        ("", "good", "User-Agent: lxmon/0.1.0\r\n", 403),
        ("", "bad", JAR, 401),
        ("", "", JAR, 403),
    ] {
        let line =
            |name: &str, value: &str| if value.is_empty() { String::new() } else { format!("{name}{value}\r\n") };
        let head = format!(
            "GET /1.0/events HTTP/1.1\r\n{}{}{user_agent}\r\n",
            line("Cookie: session=", cookie),
            line("Authorization: Bearer ", token)
        );
        let verdict = match logins.check(&head) {
            Verdict::Welcome(_) => 101,
            Verdict::Refused(status, _) => status,
        };
        assert_eq!(verdict, status, "{head}");
    }
}
