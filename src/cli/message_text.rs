//! The text of a message, from the command line or from standard input.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

use super::exit::{Exit, Failure};
use crate::config::parse_message;
use crate::message::{MAX_BODY_BYTES, Message};

/// The word that means standard input.
const STDIN: &str = "-";

/// What stands before a fault.
const NAME: &str = "message";

/// Reads a message: the word itself, or all of `stdin` if the word is `-`. Refused are texts that are no map of
/// fields, nested too deep, no UTF-8, or larger than a message may be.
pub(super) fn read(word: OsString, stdin: impl Read) -> Result<Message, Failure> {
    let bytes = if word == STDIN { read_all(stdin)? } else { word.into_vec() };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Exit::Data, format!("the message is not UTF-8: its byte {} begins no character", at + 1))
    })?;
    let message = Message::new(parse_message(NAME, &text)?);
    let bytes = message.encoded()?.len();
    if bytes > MAX_BODY_BYTES {
        let text = format!("the message has {bytes} bytes, and at most {MAX_BODY_BYTES} are taken");
        return Err(Failure::new(Exit::Data, text));
    }
    Ok(message)
}

/// Reads one byte more than is taken, and no further: an endless input is refused too.
fn read_all(stdin: impl Read) -> Result<Vec<u8>, Failure> {
    let most = MAX_BODY_BYTES as u64;
    let mut bytes = Vec::new();
    let read = stdin.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Exit::IoError, format!("cannot read standard input: {error}")))?;
    if bytes.len() > MAX_BODY_BYTES {
        let text =
            format!("the message on standard input has more than {MAX_BODY_BYTES} bytes, the most that is taken");
        return Err(Failure::new(Exit::Data, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    fn read_word(word: &str) -> Result<Message, Failure> {
        read(word.into(), std::io::empty())
    }

    fn refused(result: Result<Message, Failure>, reason: &str) {
        let failure = result.unwrap_err();
        assert_eq!(failure.exit, Exit::Data, "{failure:?}");
        assert!(failure.text.contains(reason), "{failure:?}");
    }

    #[test]
    fn each_form_of_a_message_is_read() {
        for word in ["<new_ct=>999>", "{new_ct => 999}", r#"{"new_ct": 999}"#, "(new_ct: 999)"] {
            assert_eq!(read_word(word).unwrap().into_fields(), fields! { new_ct: 999 }, "{word}");
        }
        let read = read("-".into(), &b"{\"a\": 1}\n"[..]).unwrap();
        assert_eq!(read.into_fields(), fields! { a: 1 });
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        refused(read_word("[1, 2]"), "a message must be a map of fields, this is a list");
        refused(read_word("howdy"), "message:1:");
        refused(read_word(""), "the text is empty");
        refused(read_word(&"[".repeat(10_000)), "nested deeper than 128 levels");
        refused(read(OsString::from_vec(b"{a => '\xff'}".to_vec()), std::io::empty()), "not UTF-8: its byte 8");
    }

    #[test]
    fn an_endless_input_is_refused() {
        refused(read("-".into(), std::io::repeat(b' ')), "has more than 67104768 bytes");
    }
}
