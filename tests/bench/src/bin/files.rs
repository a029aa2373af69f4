//! Writes a CRL and its issuer's certificate, to compare whole programs on them. `files ENTRIES FOLDER`.

use revocast_bench::{Ca, entry};

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(Ok(entries)), Some(folder)) = (words.next().map(|word| word.parse()), words.next()) else {
        eprintln!("files ENTRIES FOLDER");
        std::process::exit(3);
    };
    let ca = Ca::new();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(format!("{folder}/ca.crt"), ca.certificate())?;
    std::fs::write(format!("{folder}/list.crl"), ca.list(1, (0..entries).map(entry)))
}
