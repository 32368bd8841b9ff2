//! What can be known about the container setup without an engine: files parse, and every name in them leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_yaml_ng::Value;
use xtask::test::PROGRAMS;
use xtask::workspace::{metadata, variable};

const COMPOSE: &str = "docker-compose.yml";
const TEST_SERVICES: &str = "deploy/test-services.compose.yml";
const OUR_IMAGE: &str = "shopsmart";
const CONFIG_MOUNT: &str = "/etc/shopsmart";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: impl AsRef<Path>) -> Value {
    let mut value: Value = serde_yaml_ng::from_str(&read(path)).unwrap();
    value.apply_merge().unwrap();
    value
}

/// Name and description of each service.
fn services(file: &Value) -> Vec<(&str, &Value)> {
    let services = file["services"].as_mapping().unwrap();
    services.iter().map(|(name, service)| (name.as_str().unwrap(), service)).collect()
}

fn ours(file: &Value) -> impl Iterator<Item = (&str, &Value)> {
    services(file).into_iter().filter(|(_, service)| service["image"] == OUR_IMAGE)
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn programs_of_the_workspace() -> BTreeSet<String> {
    let metadata = metadata(&["--no-deps"]).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    programs.map(|program| program["name"].as_str().unwrap().to_owned()).collect()
}

/// Where the built programs are. Says so where they are not; where `CI` is set that is a failure.
fn programs() -> Option<PathBuf> {
    let directory = variable(PROGRAMS);
    assert!(
        directory.is_some() || variable("CI").is_none(),
        "{PROGRAMS} is not set although CI is: this may not be skipped there"
    );
    if directory.is_none() {
        eprintln!("skipped: {PROGRAMS} is not set (`cargo xtask test` sets it)");
    }
    directory.map(PathBuf::from)
}

#[test]
fn every_command_runs_a_program_that_the_image_has() {
    let compose = yaml(COMPOSE);
    let dockerfile = read("deploy/Dockerfile");
    let programs = programs_of_the_workspace();
    for (name, service) in ours(&compose) {
        let program = texts(&service["command"])[0];
        assert!(programs.contains(program), "{name} runs {program}, which no package builds");
        assert!(dockerfile.contains(&format!("target/release/{program} ")), "the image lacks {program}");
    }
}

#[test]
fn every_command_is_one_that_its_program_knows() {
    let Some(directory) = programs() else { return };
    let compose = yaml(COMPOSE);
    for (name, service) in ours(&compose) {
        let command = texts(&service["command"]);
        let words = command.iter().take_while(|word| !word.starts_with('-')).skip(1);
        let options = command.iter().filter(|word| word.starts_with('-'));
        let help = Command::new(directory.join(command[0])).args(words).arg("--help").output().unwrap();
        assert!(help.status.success(), "{name}: {}", String::from_utf8_lossy(&help.stderr));
        let help = String::from_utf8(help.stdout).unwrap();
        for option in options {
            assert!(help.contains(option), "{name} gives {option}, which {} does not know", command[0]);
        }
    }
}

#[test]
fn every_mounted_file_exists() {
    let compose = yaml(COMPOSE);
    for (name, service) in services(&compose) {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name} mounts {source}, which does not exist");
            } else {
                assert!(
                    compose["volumes"].get(source).is_some(),
                    "{name} mounts the undeclared volume {source}"
                );
            }
        }
        for argument in texts(&service["command"]) {
            if let Some(file) = argument.strip_prefix(CONFIG_MOUNT) {
                let file = root().join("deploy/config").join(file.trim_start_matches('/'));
                let text =
                    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                toml::from_str::<toml::Table>(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            }
        }
    }
}

#[test]
fn every_dependency_is_a_service() {
    let compose = yaml(COMPOSE);
    let names: BTreeSet<&str> = services(&compose).into_iter().map(|(name, _)| name).collect();
    for (name, service) in services(&compose) {
        for dependency in service["depends_on"].as_mapping().into_iter().flatten().map(|(key, _)| key) {
            assert!(names.contains(dependency.as_str().unwrap()), "{name} waits for {dependency:?}");
        }
    }
    let prometheus = yaml("deploy/prometheus/prometheus.yml");
    let scraped = texts(&prometheus["scrape_configs"][0]["dns_sd_configs"][0]["names"]);
    assert_eq!(scraped, ["ingest", "stream-processor", "serving"]);
    assert!(scraped.iter().all(|name| names.contains(name)));
}

#[test]
fn the_image_is_built_once_and_first() {
    let compose = yaml(COMPOSE);
    let builders: Vec<&str> = services(&compose)
        .iter()
        .filter(|(_, service)| service["build"].is_mapping())
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(builders, ["topics"], "two builds of one image name run in parallel and fail");
    for (name, service) in ours(&compose).filter(|(name, _)| !builders.contains(name)) {
        let waits_for = &service["depends_on"][builders[0]]["condition"];
        assert_eq!(
            waits_for, "service_completed_successfully",
            "{name} could start before its image is built"
        );
    }
}

#[test]
fn the_image_is_built_from_paths_that_exist() {
    let compose = yaml(COMPOSE);
    let build = &compose["services"]["topics"]["build"];
    assert_eq!(build["context"], ".");
    let dockerfile = read(build["dockerfile"].as_str().unwrap());
    for copy in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = copy.split_whitespace().collect();
        if !words[0].starts_with("--from") {
            words.pop();
            assert!(words.iter().all(|source| root().join(source).exists()), "COPY {copy}");
        }
    }
}

#[test]
fn images_of_others_are_pinned() {
    for file in [COMPOSE, TEST_SERVICES] {
        for (name, service) in services(&yaml(file)) {
            let image = service["image"].as_str().unwrap();
            let pinned = image.split_once(':').is_some_and(|(_, tag)| tag != "latest");
            assert!(pinned || image == OUR_IMAGE, "{name} in {file} uses {image}");
        }
    }
}

#[test]
fn tests_meet_the_servers_that_people_run() {
    let (compose, tests) = (yaml(COMPOSE), yaml(TEST_SERVICES));
    for name in ["kafka", "redis", "cassandra"] {
        assert_eq!(compose["services"][name]["image"], tests["services"][name]["image"], "{name}");
    }
}

#[test]
fn ports_are_published_on_loopback_only() {
    for file in [COMPOSE, TEST_SERVICES] {
        for (name, service) in services(&yaml(file)) {
            for port in texts(&service["ports"]) {
                assert!(port.starts_with("127.0.0.1:"), "{name} in {file} publishes {port}");
            }
        }
    }
}

#[test]
fn the_image_asks_only_for_features_that_packages_have() {
    let metadata = metadata(&["--no-deps"]).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let dockerfile = read("deploy/Dockerfile");
    assert!(dockerfile.contains("--features \"$FEATURES\""));
    let features = dockerfile.lines().find_map(|line| line.strip_prefix("ARG FEATURES=")).unwrap();
    // The other one is what docs/operations.md offers.
    for feature in features.split(',').chain(["shopsmart/otel"]) {
        let (package, feature) = feature.split_once('/').unwrap();
        let package = packages.iter().find(|other| other["name"] == package).unwrap();
        assert!(package["features"].get(feature).is_some(), "{package} has no feature {feature}");
    }
}

/// A service as compose runs it, but on `port` of loopback; ended when dropped.
struct Service(Child);

impl Service {
    fn start(directory: &Path, service: &Value, port: u16) -> Self {
        let command = texts(&service["command"]);
        let arguments = command[1..].iter().map(|word| word.replace(CONFIG_MOUNT, "deploy/config"));
        let listen = match command[0] {
            "stream-processor" => "SHOPSMART__PROCESSOR__LISTEN".to_owned(),
            program => format!("SHOPSMART__{}__HTTP__LISTEN", program.to_uppercase()),
        };
        let environment = service["environment"].as_mapping().unwrap().iter();
        // As compose fills it in where the variable is not set: `${NAME:-default}`.
        let environment = environment.map(|(name, value)| {
            let value = value.as_str().unwrap();
            let default = value.split_once(":-").map_or(value, |(_, rest)| rest.trim_end_matches('}'));
            (name.as_str().unwrap().to_owned(), default.to_owned())
        });
        let mut program = Command::new(directory.join(command[0]));
        program.current_dir(root()).args(arguments).envs(environment);
        program.env(listen, format!("127.0.0.1:{port}"));
        Self(program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The first line of the answer.
fn ask(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

/// Whether the service's health check passes, with `port` in the place of the container's.
fn is_healthy(service: &Value, port: u16) -> bool {
    let test = texts(&service["healthcheck"]["test"]);
    assert_eq!(test[0], "CMD");
    let words = test[2..].iter().map(|word| word.replace("/8080", &format!("/{port}")));
    Command::new(test[1]).args(words).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn every_service_starts_on_the_configuration_that_compose_gives_it() {
    let Some(directory) = programs() else { return };
    let compose = yaml(COMPOSE);
    for name in ["ingest", "stream-processor", "serving"] {
        let service = &compose["services"][name];
        let port = free_port();
        let mut running = Service::start(&directory, service, port);
        let begun = Instant::now();
        while !ask(port, "/health/live").is_some_and(|status| status.contains(" 200 ")) {
            assert_eq!(running.0.try_wait().unwrap(), None, "{name} refuses its configuration");
            assert!(begun.elapsed() < Duration::from_secs(60), "{name} does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        // There is no host `kafka` here.
        assert!(!is_healthy(service, port), "{name} cannot be ready without its log");
    }
}

#[test]
fn the_health_check_passes_when_a_service_says_that_it_is_ready() {
    let compose = yaml(COMPOSE);
    for (name, service) in ours(&compose).filter(|(_, service)| service["healthcheck"]["test"].is_sequence())
    {
        for (status, expected) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let answering = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 256];
                let length = stream.read(&mut request).unwrap();
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            });
            assert_eq!(is_healthy(service, port), expected, "{name} answers {status}");
            assert!(answering.join().unwrap().starts_with("GET /health/ready "));
        }
    }
}
