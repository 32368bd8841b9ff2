//! Spans reach a collector: one trace from the request at ingest through Kafka to the processor, and to serving.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use event_log::EventLog;
use ingest::{IngestConfig, IngestDeps};
use prost::Message;
use schemas::names::Topics;
use schemas::proto::Outcome;
use serde_json::json;
use service_runtime::config::{HttpConfig, KafkaConfig, TracesConfig};
use service_runtime::http::{Routes, serve};
use service_runtime::keys::Keys;
use service_runtime::telemetry::init_traces;
use serving::{Serving, ServingConfig, ServingDeps};
use shopsmart::embedded;
use stream_processor::{Parts, Processor, ProcessorConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// No test may hang for ever; none takes anywhere near this long.
const LIMIT: Duration = Duration::from_secs(120);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// As much of OTLP's messages as is looked at, by the numbers of its `trace.proto`.
mod otlp {
    #[derive(prost::Message)]
    pub struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resource_spans: Vec<ResourceSpans>,
    }

    #[derive(prost::Message)]
    pub struct ResourceSpans {
        #[prost(message, repeated, tag = "2")]
        pub scope_spans: Vec<ScopeSpans>,
    }

    #[derive(prost::Message)]
    pub struct ScopeSpans {
        #[prost(message, optional, tag = "1")]
        pub scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }

    #[derive(prost::Message)]
    pub struct Scope {
        #[prost(string, tag = "1")]
        pub name: String,
    }

    #[derive(prost::Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub span_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
        #[prost(fixed64, tag = "7")]
        pub start_ns: u64,
        #[prost(fixed64, tag = "8")]
        pub end_ns: u64,
    }
}

/// A span that reached the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Received {
    service: String,
    name: String,
    trace: String,
    span: String,
    parent: String,
    took_ns: u64,
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Received>>>);

impl Collector {
    /// Listens, and gives its address.
    async fn start(&self) -> String {
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        at(router).await
    }

    /// The only span of a service.
    fn the_span_of(&self, service: &str) -> Received {
        let received = self.0.lock().unwrap();
        let spans: Vec<&Received> = received.iter().filter(|span| span.service == service).collect();
        let [span] = spans[..] else { panic!("{} spans of {service}: {received:?}", spans.len()) };
        span.clone()
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let request = otlp::Request::decode(body).expect("it is OTLP");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut received = collector.0.lock().unwrap();
    for scope_spans in request.resource_spans.into_iter().flat_map(|of| of.scope_spans) {
        let service = scope_spans.scope.map(|scope| scope.name).unwrap_or_default();
        received.extend(scope_spans.spans.into_iter().map(|span| Received {
            service: service.clone(),
            trace: hex(&span.trace_id),
            span: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            took_ns: span.end_ns.checked_sub(span.start_ns).expect("it began before it ended"),
            name: span.name,
        }));
    }
    StatusCode::OK
}

/// Serves routes on a free port until the test ends.
async fn at(routes: impl Into<Routes>) -> String {
    let routes = routes.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { serve(listener, routes, &HttpConfig::default(), CancellationToken::new()).await });
    format!("http://{address}")
}

#[allow(clippy::disallowed_methods, reason = "tests are told by the environment where the real servers are")]
fn kafka() -> Option<KafkaConfig> {
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let brokers = given("SHOPSMART_TEST_KAFKA");
    if brokers.is_none() {
        assert!(given("CI").is_none(), "SHOPSMART_TEST_KAFKA has to be set where CI is");
        eprintln!("SKIPPED: SHOPSMART_TEST_KAFKA is not set (run `cargo xtask test`)");
    }
    let topic_prefix = format!("traces-{:x}-", fastrand::u64(..));
    Some(KafkaConfig { brokers: vec![brokers?], topic_prefix, ..KafkaConfig::default() })
}

/// One test, because a process exports once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_recorded_trace_goes_from_ingest_through_kafka_to_the_processor_and_others_leave_nothing() {
    let Some(kafka) = kafka() else { return };
    let collector = Collector::default();
    let config = TracesConfig { endpoint: collector.start().await, sampled_share: 0.0 };
    config.validate("traces").unwrap();
    let export = init_traces(&config, "test").unwrap();

    let folder = tempfile::tempdir().unwrap();
    let log = wiring::kafka(&kafka).unwrap();
    let topics = Topics::new(&kafka.topic_prefix, embedded::GENERATION);
    let parts =
        Parts { log: log.clone(), topics: topics.clone(), ..embedded::open(folder.path()).await.unwrap() };
    let config = ProcessorConfig {
        generation: embedded::GENERATION,
        events_partitions: 1,
        activity_partitions: 1,
        ..ProcessorConfig::default()
    };
    parts.catalog.mark_loaded();
    let processor = Processor::prepare(parts.clone(), config).await.unwrap();
    let config = IngestConfig::default();
    let (router, events) = ingest::routes(IngestDeps {
        producer: log.producer(config.producer_mode()).unwrap(),
        config,
        clock: Arc::clone(&parts.clock),
        keys: Keys::open(),
        topics,
        producer_dead: CancellationToken::new(),
    });
    let ingest = at(Routes::from(router).with(events)).await;
    let serving = Serving::new(ServingDeps {
        config: ServingConfig { generation: embedded::GENERATION, ..ServingConfig::default() },
        store: Arc::clone(&parts.serving),
        fallback: Some(Arc::clone(&parts.state)),
        catalog: Arc::clone(&parts.catalog),
        clock: Arc::clone(&parts.clock),
        keys: Keys::open(),
        generation: embedded::GENERATION,
        topic_prefix: kafka.topic_prefix.clone(),
    });
    let serving = at(serving.router()).await;

    let client = reqwest::Client::new();
    let recorded = format!("00-{TRACE}-{CALLER}-01");
    let mut answered = Vec::new();
    // The caller's trace that is recorded, between those of callers who say no, and who say nothing.
    for (number, traceparent) in
        [Some(format!("00-{TRACE}-{CALLER}-00")), Some(recorded.clone()), None].into_iter().enumerate()
    {
        let event =
            json!({ "event_type": "view", "user_id": format!("user-{number}"), "product_id": "kettle" });
        let mut request = client.post(format!("{ingest}/events")).json(&event);
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 202);
        answered.push(answer.headers()["traceparent"].to_str().unwrap().to_owned());
    }
    let history = client.get(format!("{serving}/users/user-1/history")).header("traceparent", &recorded);
    assert_eq!(history.send().await.unwrap().status(), 200);

    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (processor, stop) = (processor.clone(), stop.clone());
        async move { processor.run(stop).await }
    });
    let applied = async {
        while processor.registry().outcomes().get(Outcome::Applied) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, applied).await.expect("the events are applied");
    stop.cancel();
    running.await.unwrap().unwrap();
    // It sends what is left.
    tokio::task::spawn_blocking(move || drop(export)).await.unwrap();

    let [at_ingest, at_processor, at_serving] =
        ["ingest", "stream-processor", "serving"].map(|service| collector.the_span_of(service));
    assert_eq!(collector.0.lock().unwrap().len(), 3);
    for span in [&at_ingest, &at_processor, &at_serving] {
        assert_eq!(span.trace, TRACE, "{span:?}");
        assert!(span.took_ns > 0, "{span:?}");
    }
    assert_eq!((at_ingest.name.as_str(), at_ingest.parent.as_str()), ("POST /events", CALLER));
    assert_eq!(answered[1], format!("00-{TRACE}-{}-01", at_ingest.span), "the answer names it");
    assert_eq!(at_processor.parent, at_ingest.span, "the record belongs to its request");
    assert!(at_processor.name.starts_with("process traces-"), "{}", at_processor.name);
    assert_eq!((at_serving.name.as_str(), at_serving.parent.as_str()), ("GET /users/{id}/history", CALLER));
    log.delete_topic(&parts.topics.events).await.unwrap();
}
