//! The tutorial's listener: prints the counts it hears.

use multimodule::sdk::{Context, Message, Result, Task, View};

/// Prints.
#[derive(Default)]
pub struct Example2;

impl Task for Example2 {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, _ctx: &mut Context<Self>) -> Result {
        let ct = message.get("ct").filter(|ct| ct.is_true()).and_then(View::scalar_text);
        if let (Some(ct), Some(outstr)) = (ct, message.get("outstr").and_then(View::scalar_text)) {
            println!("Example2: received a message: {ct} ({outstr})");
        }
        Ok(())
    }
}
