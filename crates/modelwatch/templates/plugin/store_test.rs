//! The store keeps the promises that the host relies on.

use modelwatch_sdk::testing;

#[test]
fn conforms() {
    let registry = {{crate}}::registry();
    testing::store(&|path| {
        let options = serde_json::json!({ "name": path.display().to_string() });
        registry.open_store("{{name}}", &options)
    });
}
