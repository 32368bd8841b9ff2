//! What tests rely on when they stop and start real servers. Redis stands for all of them: the code is the same, and
//! it is up at once.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;

use xtask::services::{Lifetime, Options, Part, REDIS, Services, living_background, reap_abandoned};
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

#[test]
fn a_dead_set_in_the_background_makes_room_for_a_new_one() {
    if !servers_can_be_had() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        parts: vec![Part::Redis],
        lifetime: Lifetime::Background,
        ..Options::private(directory.path().to_owned())
    };
    let services = Services::start(&options).unwrap();
    let first = address(&services);
    services.leave();
    let living = living_background(directory.path()).unwrap().expect("it was left running");
    assert!(living.exports().unwrap().contains(&first));

    let pid = fs::read_to_string(living.directory().join("redis.pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    while listens(&first) {
        thread::yield_now();
    }
    assert!(living_background(directory.path()).unwrap().is_none(), "the dead are not given out");
    assert_eq!(runs_in(directory.path()), 0);

    let services = Services::start(&options).unwrap();
    let second = address(&services);
    services.leave();
    let living = living_background(directory.path()).unwrap().expect("there is a new set");
    assert!(living.exports().unwrap().contains(&second) && listens(&second));
    living.down().unwrap();
    assert!(!listens(&second));
}

fn id_of_the_dead() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}
