//! Compiles `proto/*.proto` without needing `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/event.proto", "proto/activity.proto", "proto/product.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
