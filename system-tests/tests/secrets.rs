//! What the programs say, at their most talkative and in trouble: never a secret.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use system_tests::have;
use system_tests::program::{PATIENCE, Program, free_address, run};

/// Words that nothing else contains.
const KAFKA_PASSWORD: &str = "kafka-9c1d44";
const REDIS_PASSWORD: &str = "redis-5e02b7";
const REDIS_URL_PASSWORD: &str = "redisurl-77aa10";
const CQL_PASSWORD: &str = "cql-e4f3c8";
const KEY: &str = "key-0b6a2f91";
const WRONG_KEY: &str = "wrongkey-3d8e55";
const BODY: &str = "private-1f7c90";
const ALL: [&str; 7] =
    [KAFKA_PASSWORD, REDIS_PASSWORD, REDIS_URL_PASSWORD, CQL_PASSWORD, KEY, WRONG_KEY, BODY];

/// A server that takes connections and answers nonsense, so that clients have something to complain about.
fn server_of_nonsense() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                // Something has been asked; a client that hangs up ends it.
                if stream.read(&mut [0; 4_096]).is_ok() {
                    drop(stream.write_all(b"-ERR nonsense\r\n\x00\x00\x00\x7f"));
                }
            });
        }
    });
    Ok(address)
}

/// One file for all three programs.
fn configuration(listen: [&str; 3], server: &str) -> String {
    let hash = blake3_of(KEY);
    let keys = |service: &str| {
        format!("[[{service}.keys]]\nname = \"shop\"\nhash = \"{hash}\"\nscopes = [\"write\", \"read\"]\n")
    };
    let [ingest, processor, serving] = listen;
    format!(
        "[log]\nfilter = \"trace\"\n\
         [kafka]\nbrokers = [\"{server}\"]\nsecurity_protocol = \"sasl_plaintext\"\nsasl_mechanism = \"PLAIN\"\n\
         sasl_username = \"shop\"\nsasl_password = \"{KAFKA_PASSWORD}\"\nextra.debug = \"all\"\n\
         [redis]\nurls = [\"redis://shop:{REDIS_URL_PASSWORD}@{server}\"]\npassword = \"{REDIS_PASSWORD}\"\n\
         [cql]\ncontact_points = [\"{server}\"]\nusername = \"shop\"\npassword = \"{CQL_PASSWORD}\"\n\
         [ingest.http]\nlisten = \"{ingest}\"\n[processor]\nlisten = \"{processor}\"\n[serving.http]\nlisten = \"{serving}\"\n\
         {}{}{}",
        keys("ingest"),
        keys("processor"),
        keys("serving")
    )
}

fn blake3_of(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

/// Everything that the service answers to callers with and without a key.
async fn ask_everything(address: &str) -> Result<String> {
    let client = reqwest::Client::new();
    let mut said = String::new();
    let event =
        format!(r#"{{"event_type":"view","user_id":"{BODY}","product_id":"p","metadata":{{"a":"{BODY}"}}}}"#);
    for path in [
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/ops/config.json",
        "/admin/lag",
        "/nowhere",
    ] {
        let answer = client.get(format!("http://{address}{path}")).send().await?;
        said += &answer.text().await?;
    }
    for key in [KEY, WRONG_KEY] {
        for path in ["/recommendations?user_id=ada", "/admin/lag", "/admin/dead-letters"] {
            let answer = client.get(format!("http://{address}{path}")).bearer_auth(key).send().await?;
            said += &answer.text().await?;
        }
        for request in [
            client.post(format!("http://{address}/events")).header("x-api-key", key),
            client.post(format!("http://{address}/events?api_key={key}")),
        ] {
            said += &request.body(event.clone()).send().await?.text().await?;
        }
    }
    // What was counted meanwhile.
    Ok(said + &client.get(format!("http://{address}/metrics")).send().await?.text().await?)
}

#[tokio::test]
async fn no_secret_is_logged_or_answered_at_any_level_and_in_any_trouble() -> Result<()> {
    if !have(&["SHOPSMART_TEST_BIN"]) {
        return Ok(());
    }
    let (scratch, server) = (tempfile::tempdir()?, server_of_nonsense()?);
    let addresses = [free_address()?, free_address()?, free_address()?].map(|address| address.to_string());
    let file = scratch.path().join("shopsmart.toml");
    std::fs::write(&file, configuration(addresses.each_ref().map(String::as_str), &server))?;
    let file = file.to_string_lossy().into_owned();
    let programs = ["ingest", "stream-processor", "serving"];
    let mut running = Vec::new();
    for name in programs {
        running.push(Program::start(name, &["--config", &file], scratch.path())?);
    }
    for (name, address) in programs.iter().zip(&addresses) {
        let log = scratch.path().join(format!("{name}.log"));
        in_trouble(name, address, &log).await?;
        let answers = ask_everything(address).await.with_context(|| format!("{name} does not answer"))?;
        let logged = std::fs::read_to_string(&log)?;
        ensure!(logged.contains("TRACE") && logged.contains("listening"), "{name} says little: {logged}");
        for secret in ALL {
            let around = |text: &str| {
                let at = text.find(secret)?;
                let (from, to) = (at.saturating_sub(200), (at + 100).min(text.len()));
                Some(text[text.floor_char_boundary(from)..text.ceil_char_boundary(to)].to_owned())
            };
            // An answer may say whose history it is.
            if secret != BODY {
                ensure!(around(&answers).is_none(), "{name} answers {secret}: {:?}", around(&answers));
            }
            ensure!(around(&logged).is_none(), "{name} logs {secret}: {:?}", around(&logged));
        }
    }
    Ok(())
}

/// Waits until it answers and has complained about what it cannot reach.
async fn in_trouble(name: &str, address: &str, log: &Path) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let lives = reqwest::get(format!("http://{address}/health/live")).await.is_ok();
        let said = std::fs::read_to_string(log)?;
        if lives && (said.contains("WARN") || said.contains("ERROR")) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("{name} is not in trouble: {}", std::fs::read_to_string(log)?)
}

#[test]
fn a_refused_configuration_is_refused_without_its_secrets() -> Result<()> {
    if !have(&["SHOPSMART_TEST_BIN"]) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let sound = configuration(["127.0.0.1:0"; 3], "127.0.0.1:1");
    for (what, broken) in [
        ("an unknown key", format!("{sound}\n[nonsense]\na = 1\n")),
        ("a wrong type", sound.replace("[cql]", "[cql]\ntimeout_ms = \"soon\"")),
        ("a url that is none", sound.replace("redis://shop:", "http://shop:")),
        ("a url too many", sound.replace("urls = [", "urls = [\"redis://a\", ")),
        ("an empty url", sound.replace("urls = [", "urls = [\"\", ")),
        ("a url with a wrong port", sound.replace("@127.0.0.1:1\"", "@127.0.0.1:99999\"")),
        ("a key that is no hash", sound.replace(&blake3_of(KEY), KEY)),
        ("what is no TOML", sound.replace("[cql]", "[cql")),
        ("a property that librdkafka does not know", sound.replace("extra.debug", "extra.nonsense")),
    ] {
        let file = scratch.path().join("shopsmart.toml");
        std::fs::write(&file, broken)?;
        let file = file.to_string_lossy().into_owned();
        for name in ["ingest", "serving", "stream-processor"] {
            // Not every program reads every section: some start, and are ended then.
            let mut program = Program::start(name, &["--config", &file], scratch.path())?;
            let log = scratch.path().join(format!("{name}.log"));
            let begun = Instant::now();
            while program.ended()?.is_none() && begun.elapsed() < PATIENCE {
                if std::fs::read_to_string(&log)?.contains("listening") {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            drop(program);
            let said = std::fs::read_to_string(&log)?;
            std::fs::remove_file(&log)?;
            for secret in ALL {
                ensure!(!said.contains(secret), "{name}, of {what}: {said}");
            }
        }
    }
    // At least the first is refused by each.
    let file = scratch.path().join("shopsmart.toml");
    std::fs::write(&file, format!("{sound}\n[ingest.nonsense]\na = 1\n"))?;
    let refused = run("ingest", &["--config", &file.to_string_lossy()])?;
    ensure!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("nonsense"));
    Ok(())
}
