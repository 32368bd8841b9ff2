//! What Redis servers go through, on servers of our own.

use crate::contract::{Told, value};
use crate::redis::settings;
use crate::support::redis_server::{RedisCluster, RedisServer, eventually, free_port, installed};
use bytes::Bytes;
use schemas::Version;
use std::sync::Arc;
use stores::redis::{RedisServingStore, RedisSettings};
use stores::{ServingStore, StoreError};

fn store(urls: Vec<String>, cluster: bool) -> RedisServingStore {
    RedisServingStore::connect(&settings(urls, cluster)).unwrap()
}

fn values(version: Version) -> Vec<(String, Bytes)> {
    (0..2000).map(|i: u32| (format!("key {i}"), value(version, &i.to_be_bytes()))).collect()
}

async fn assert_holds(store: &RedisServingStore, values: &[(String, Bytes)]) {
    let keys: Vec<String> = values.iter().map(|(key, _)| key.clone()).collect();
    let stored = store.get_many(&keys).await.unwrap();
    assert!(stored.iter().zip(values).all(|(stored, (_, value))| stored.as_ref() == Some(value)));
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again() {
    if !installed() {
        return;
    }
    let port = free_port();
    let store = store(vec![format!("redis://127.0.0.1:{port}")], false);
    let values = values(Version::of(1, 1));
    for _ in 0..2 {
        let refused = store.put_many(values.clone()).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        let server = RedisServer::start(port, &[]).await;
        eventually("values are written", async || store.put_many(values.clone()).await.is_ok()).await;
        assert_holds(&store, &values).await;
        drop(server);
        eventually("the server is gone", async || store.check().await.is_err()).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let urls = vec![format!("redis://{}", silent.local_addr().unwrap())];
    for cluster in [false, true] {
        let settings =
            RedisSettings { urls: urls.clone(), cluster, timeout_ms: 50, ..RedisSettings::default() };
        let store = RedisServingStore::connect(&settings).unwrap();
        let answer = store.get_many(&["a".to_owned()]).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_evicts_is_a_warning() {
    if !installed() {
        return;
    }
    let server = RedisServer::start(free_port(), &[]).await;
    let store = store(vec![server.url()], false);
    assert_eq!(store.check().await, Ok(vec![]));
    server.run::<()>("CONFIG SET maxmemory-policy allkeys-lru").await;
    let warnings = store.check().await.unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("allkeys-lru"), "{warnings:?}");
}

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again() {
    if !installed() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let single = RedisServer::start(free_port(), &[]).await;
    let stores = [store(cluster.urls(), true), store(vec![single.url()], false)];
    for offset in 0..3 {
        for server in cluster.nodes.iter().chain([&single]) {
            server.run::<()>("SCRIPT FLUSH").await;
        }
        let values = values(Version::of(1, offset));
        for store in &stores {
            store.put_many(values.clone()).await.unwrap();
            assert_holds(store, &values).await;
        }
    }
}

#[tokio::test]
async fn a_primary_that_lost_its_data_is_noticed_by_the_marker() {
    if !installed() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let (writer, reader) = (store(cluster.urls(), true), store(cluster.urls(), true));
    let marker = value(Version::of(1, 1), b"marker");
    let keys = ["m:1:shopper:0".to_owned()];
    for node in &cluster.nodes {
        writer.put_marker(&keys[0], marker.clone()).await.unwrap();
        assert_eq!(reader.get_markers(&keys).await, Ok(vec![Some(marker.clone())]));
        node.run::<()>("FLUSHALL").await;
        assert_eq!(reader.get_markers(&keys).await, Ok(vec![None]), "{} was flushed", node.port);
    }
}

#[tokio::test]
async fn values_are_found_and_guarded_while_their_slot_moves() {
    if !installed() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let store = store(cluster.urls(), true);
    let (first, second) = (values(Version::of(1, 1)), values(Version::of(1, 2)));
    store.put_many(first.clone()).await.unwrap();

    // The slot of `foo` goes from the node that has it to the next one.
    let slot: u64 = cluster.nodes[0].run("CLUSTER KEYSLOT foo").await;
    let from = usize::try_from(slot / 5461).unwrap();
    let to = (from + 1) % 3;
    let (from_id, to_id) = (cluster.id(from).await, cluster.id(to).await);
    let foo = [
        ("foo".to_owned(), value(Version::of(1, 1), b"foo")),
        ("{foo}2".to_owned(), value(Version::of(1, 1), b"2")),
    ];
    store.put_many(foo.to_vec()).await.unwrap();
    cluster.nodes[to].run::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await;
    cluster.nodes[from].run::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
    // One of its two keys is already there: the other answers from here, and what is new is asked for there.
    let target = cluster.nodes[to].port;
    cluster.nodes[from].run::<()>(&format!("MIGRATE 127.0.0.1 {target} foo 0 5000")).await;
    assert_holds(&store, &first).await;
    assert_holds(&store, &foo).await;
    assert_eq!(store.get_many(&["{foo}3".to_owned()]).await, Ok(vec![None]));
    let moved = foo.clone().map(|(key, _)| (key, value(Version::of(1, 2), b"moved")));
    store.put_many([second.clone(), moved.to_vec()].concat()).await.unwrap();
    store.put_many([first.clone(), foo.to_vec()].concat()).await.unwrap();
    assert_holds(&store, &second).await;
    assert_holds(&store, &moved).await;

    cluster.nodes[from].run::<()>(&format!("MIGRATE 127.0.0.1 {target} {{foo}}2 0 5000")).await;
    for node in [to, from, 3 - from - to] {
        cluster.nodes[node].run::<()>(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")).await;
    }
    assert_holds(&store, &second).await;
    assert_holds(&store, &moved).await;
    store.put_many(foo.to_vec()).await.unwrap();
    assert_holds(&store, &moved).await;
    let marker = value(Version::of(1, 1), b"marker");
    store.put_marker("m", marker.clone()).await.unwrap();
    assert_eq!(store.get_markers(&["m".to_owned()]).await, Ok(vec![Some(marker)]));
}

#[tokio::test]
async fn a_replica_that_was_promoted_takes_over() {
    if !installed() {
        return;
    }
    let mut cluster = RedisCluster::start().await;
    cluster.add_replica().await;
    let store = store(cluster.urls(), true);
    let (first, second) = (values(Version::of(1, 1)), values(Version::of(1, 2)));
    store.put_many(second.clone()).await.unwrap();
    let offset = async |node: &RedisServer, field: &str| -> u64 {
        let info = node.run::<String>("INFO replication").await;
        info.lines().find_map(|line| line.strip_prefix(field)?.trim().parse().ok()).expect("it replicates")
    };
    // WAIT would not do: it is about what its own connection wrote.
    let written = offset(&cluster.nodes[0], "master_repl_offset:").await;
    eventually("the replica has everything", async || {
        offset(&cluster.nodes[3], "slave_repl_offset:").await >= written
    })
    .await;
    // The old primary dies with the promotion, so nothing can be asked of it any more.
    let old = cluster.nodes.remove(0);
    cluster.nodes[2].run::<()>("CLUSTER FAILOVER TAKEOVER").await;
    drop(old);
    eventually("values are written", async || store.put_many(first.clone()).await.is_ok()).await;
    assert_holds(&store, &second).await;
}

#[tokio::test]
async fn whoever_keeps_values_is_told_when_changes_may_have_been_missed() {
    if !installed() {
        return;
    }
    let server = RedisServer::start(free_port(), &[]).await;
    let store = store(vec![server.url()], false);
    let told = Arc::new(Told::default());
    let reader = store.watch(Arc::clone(&told) as _).unwrap();
    eventually("changes are followed", async || reader.is_following()).await;
    let key = "a".to_owned();
    for what in ["FLUSHALL", "CLIENT KILL TYPE normal"] {
        store.put_many(vec![(key.clone(), value(Version::of(1, 1), b"1"))]).await.unwrap();
        assert!(reader.get_many(std::slice::from_ref(&key)).await.unwrap()[0].is_some());
        let before = told.of("*");
        server.run::<redis::Value>(what).await;
        eventually("that is told", async || told.of("*") > before).await;
        eventually("changes are followed again", async || {
            reader.get_many(std::slice::from_ref(&key)).await.is_ok() && store.check().await.is_ok()
        })
        .await;
    }
    let before = told.of("*");
    drop(server);
    eventually("the loss is told", async || told.of("*") > before && !reader.is_following()).await;
    assert!(matches!(reader.get_many(&[key]).await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn whoever_keeps_values_of_a_cluster_is_told_when_their_slot_moves() {
    if !installed() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let store = store(cluster.urls(), true);
    let told = Arc::new(Told::default());
    let reader = store.watch(Arc::clone(&told) as _).unwrap();
    eventually("changes are followed", async || reader.is_following()).await;
    // Of a key that is not there nothing is deleted where it was, when its slot goes to another primary.
    let keys = ["foo".to_owned()];
    assert_eq!(reader.get_many(&keys).await, Ok(vec![None]));

    let slot: u64 = cluster.nodes[0].run("CLUSTER KEYSLOT foo").await;
    let from = usize::try_from(slot / 5461).unwrap();
    let to = (from + 1) % 3;
    let to_id = cluster.id(to).await;
    let before = told.of("*");
    for node in [to, from, 3 - from - to] {
        cluster.nodes[node].run::<()>(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")).await;
    }
    eventually("that is told", async || told.of("*") > before).await;
    let now = value(Version::of(1, 1), b"now");
    eventually("it is written", async || store.put_many(vec![(keys[0].clone(), now.clone())]).await.is_ok())
        .await;
    eventually("it is read where it is now", async || {
        reader.get_many(&keys).await == Ok(vec![Some(now.clone())])
    })
    .await;
    let before = told.of("foo");
    let later = value(Version::of(1, 2), b"later");
    store.put_many(vec![(keys[0].clone(), later)]).await.unwrap();
    eventually("and followed there", async || told.of("foo") > before).await;
}

#[tokio::test]
async fn changes_are_not_followed_while_the_slot_of_what_is_read_moves() {
    if !installed() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let store = store(cluster.urls(), true);
    let reader = store.watch(Arc::new(Told::default())).unwrap();
    eventually("changes are followed", async || reader.is_following()).await;
    let keys = ["foo".to_owned()];
    let slot: u64 = cluster.nodes[0].run("CLUSTER KEYSLOT foo").await;
    let from = usize::try_from(slot / 5461).unwrap();
    let to_id = cluster.id((from + 1) % 3).await;
    cluster.nodes[from].run::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
    assert!(matches!(reader.get_many(&keys).await, Err(StoreError::Unavailable { .. })));
    assert!(!reader.is_following(), "whoever reads is to read the other way");
    cluster.nodes[from].run::<()>(&format!("CLUSTER SETSLOT {slot} STABLE")).await;
    eventually("they are followed again", async || reader.get_many(&keys).await == Ok(vec![None])).await;
}

#[tokio::test]
async fn whoever_keeps_values_of_a_cluster_is_told_when_a_primary_is_lost() {
    if !installed() {
        return;
    }
    let mut cluster = RedisCluster::start().await;
    let store = store(cluster.urls(), true);
    let told = Arc::new(Told::default());
    let reader = store.watch(Arc::clone(&told) as _).unwrap();
    eventually("changes are followed", async || reader.is_following()).await;
    let before = told.of("*");
    drop(cluster.nodes.remove(1));
    eventually("the loss is told", async || told.of("*") > before && !reader.is_following()).await;
    assert!(matches!(reader.get_many(&["a".to_owned()]).await, Err(StoreError::Unavailable { .. })));
}
