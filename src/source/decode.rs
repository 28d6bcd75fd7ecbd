//! From a file's bytes to its text, or to a word on what they are instead.

use super::position::{Cursor, Location};
use super::problem::Problem;

/// No manifest is larger, as etcd holds 1.5 MiB an object; and a place in a text has 32 bits.
pub(super) const MAX_BYTES: usize = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The text, without a byte-order mark.
pub(super) fn decode(mut bytes: Vec<u8>) -> Result<String, Problem> {
    if bytes.len() > MAX_BYTES {
        return Err(whole(format!("larger than {} MiB", MAX_BYTES >> 20)));
    }
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(whole(
            "encoded as UTF-16, by its byte-order mark; save it as UTF-8",
        ));
    }
    let mark = match bytes.starts_with(BYTE_ORDER_MARK) {
        true => bytes.drain(..BYTE_ORDER_MARK.len()).len(),
        false => 0,
    };
    String::from_utf8(bytes).map_err(|error| {
        let (good, bad) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        not_utf8(good, bad.first().copied().unwrap_or_default(), mark)
    })
}

/// There is no text to point into, so the range is empty; line and column are still known.
fn not_utf8(before: &[u8], byte: u8, mark: usize) -> Problem {
    let before = String::from_utf8_lossy(before);
    let mut location = Cursor::new(&before)
        .span(before.len(), before.len())
        .location();
    location.byte_range = 0..0;
    let Location { line, column, .. } = location;
    let offset = mark + before.len();
    let message =
        format!("not UTF-8: byte 0x{byte:02X} at offset {offset} (line {line}, column {column})");
    Problem { message, location }
}

fn whole(message: impl Into<String>) -> Problem {
    Problem {
        message: message.into(),
        location: Location::start(),
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_BYTES;
    use crate::source::{SourceFile, read};

    #[test]
    fn what_is_no_text_is_a_problem() {
        let cases: [(&[u8], &str, (usize, usize)); 5] = [
            (
                b"a: 1\n\xC3\xA4b: \xFFx",
                "not UTF-8: byte 0xFF at offset 10 (line 2, column 5)",
                (2, 5),
            ),
            (
                b"\xEF\xBB\xBFa\xC3",
                "not UTF-8: byte 0xC3 at offset 4 (line 1, column 2)",
                (1, 2),
            ),
            (
                b"\xFF\xFEa\0",
                "encoded as UTF-16, by its byte-order mark; save it as UTF-8",
                (1, 1),
            ),
            (
                b"\xFE\xFF\0a",
                "encoded as UTF-16, by its byte-order mark; save it as UTF-8",
                (1, 1),
            ),
            (&vec![b' '; MAX_BYTES + 1], "larger than 64 MiB", (1, 1)),
        ];
        for (bytes, message, place) in cases {
            let reading = read(&SourceFile::from_bytes("a.yaml", bytes.to_vec()));
            let [problem] = reading.problems.as_slice() else {
                panic!("{message}: {:?}", reading.problems);
            };
            assert_eq!(problem.message, message);
            assert_eq!((problem.location.line, problem.location.column), place);
            assert!(reading.documents.is_empty());
        }
        let with_mark = SourceFile::from_bytes("a.yaml", b"\xEF\xBB\xBFa: 1".to_vec());
        assert_eq!(with_mark.text.as_deref(), Ok("a: 1"));
    }
}
