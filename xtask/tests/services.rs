//! What tests rely on when they stop and start real servers. Redis stands for all of them: the code is the same, and
//! it is up at once.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use xtask::services::{Options, Part, REDIS, Services, reap_abandoned};
use xtask::workspace::variable;

/// Whether servers can be had here. Says why not; where `CI` is set that is a failure.
fn servers_can_be_had() -> bool {
    let had = variable(REDIS).is_some();
    assert!(
        had || variable("CI").is_none(),
        "{REDIS} is not set although CI is: a server test may not be skipped there"
    );
    if !had {
        eprintln!("skipped: {REDIS} is not set (`cargo xtask test` sets it)");
    }
    had
}

fn start_redis(directory: &Path) -> Services {
    Services::start(&Options { parts: vec![Part::Redis], ..Options::private(directory.to_owned()) }).unwrap()
}

fn address(services: &Services) -> String {
    let (name, url) = services.env().remove(0);
    assert_eq!(name, REDIS);
    url.trim_start_matches("redis://").to_owned()
}

fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

fn runs_in(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn a_stopped_server_is_silent_and_comes_back_on_its_port() {
    if !servers_can_be_had() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut services = start_redis(directory.path());
    let address = address(&services);
    for end in [Services::stop, Services::kill] {
        assert!(listens(&address));
        end(&mut services, Part::Redis).unwrap();
        assert!(!listens(&address));
        services.start_again(Part::Redis).unwrap();
    }
    assert!(listens(&address));
    assert!(services.stop(Part::Kafka).is_err(), "a part that was not started cannot be stopped");
}

#[test]
fn dropping_the_services_ends_them_and_removes_their_data() {
    if !servers_can_be_had() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let services = start_redis(directory.path());
    let address = address(&services);
    assert_eq!(runs_in(directory.path()), 1);
    drop(services);
    assert!(!listens(&address));
    assert_eq!(runs_in(directory.path()), 0);
}

#[test]
fn servers_of_a_killed_owner_are_ended_by_whoever_comes_next() {
    if !servers_can_be_had() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let services = start_redis(directory.path());
    let address = address(&services);
    // As if this process had been killed: nothing is dropped, and the owner on record is no more.
    std::mem::forget(services);
    reap_abandoned(directory.path()).unwrap();
    assert!(listens(&address), "a living owner keeps its servers");

    let run = fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let record = fs::read_to_string(run.join("run.json")).unwrap();
    let ours = format!("\"owner\": {}", std::process::id());
    assert!(record.contains(&ours));
    fs::write(run.join("run.json"), record.replace(&ours, &format!("\"owner\": {}", id_of_the_dead())))
        .unwrap();
    reap_abandoned(directory.path()).unwrap();
    assert!(!listens(&address));
    assert_eq!(runs_in(directory.path()), 0);
}

fn id_of_the_dead() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}
