//! Does all come through from thread to task and back, or an error?

use std::{io::Cursor, sync::mpsc as std_mpsc};

use super::*;

#[tokio::test]
async fn a_reader_gives_all_in_large_chunks_and_ends() {
    let content: Vec<u8> = (0..BATCH * 2 + 10).map(|n| n as u8).collect();
    let expected = content.clone();
    let chunks: Vec<Result<Bytes>> = reader(move || Ok(Cursor::new(content))).collect().await;
    let chunks: Vec<Bytes> = chunks.into_iter().map(|chunk| chunk.expect("a chunk")).collect();
    assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [BATCH, BATCH, 10]);
    assert_eq!(chunks.concat(), expected);
}

#[tokio::test]
async fn a_reader_that_cannot_open_or_fails_midway_says_so_and_ends() {
    let mut unopened = reader(|| Err::<Cursor<Vec<u8>>, _>(Error::new(ErrorKind::NotFound, "gone")));
    assert_eq!(
        unopened.next().await.map(|r| r.map_err(|e| e.kind().clone())),
        Some(Err(ErrorKind::NotFound))
    );
    assert!(unopened.next().await.is_none());

    struct Failing(bool);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            buffer[0] = 1;
            Ok(1)
        }
    }
    let outcome: Vec<_> = reader(|| Ok(Failing(false))).collect().await;
    assert_eq!(
        outcome.last().map(|r| r.as_ref().map_err(|e| e.kind())),
        Some(Err(&ErrorKind::Quota))
    );
}

#[tokio::test]
async fn a_reader_that_panics_does_not_look_complete() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("a defect");
        }
    }
    let task = tokio::spawn(reader(|| Ok(Panics)).collect::<Vec<_>>());
    assert!(task.await.expect_err("a panic").is_panic());
}

#[tokio::test]
async fn a_sink_hands_over_all_and_gives_the_outcome() {
    let mut sink = Sink::spawn(|mut chunks| {
        let mut all = Vec::new();
        chunks.read_to_end(&mut all)?;
        Ok(all)
    });
    for _ in 0..1000 {
        sink.send(Bytes::from_static(&[7; 1000])).await.expect("sent");
    }
    assert_eq!(sink.finish().await.expect("an outcome"), vec![7; 1_000_000]);
    let empty = Sink::spawn(|chunks| Ok(chunks.count()));
    assert_eq!(empty.finish().await.expect("an outcome"), 0);
}

#[tokio::test]
async fn a_dropped_sink_breaks_off_and_never_ends_well() {
    let (sender, outcome) = std_mpsc::channel();
    let mut sink = Sink::spawn(move |mut chunks: Chunks| {
        let mut all = Vec::new();
        let error = chunks.read_to_end(&mut all).expect_err("no end");
        let _ = sender.send((
            Error::from(error).kind().clone(),
            all.len(),
            chunks.next().map(|c| c.is_err()),
        ));
        Ok(())
    });
    sink.send(Bytes::from(vec![0; BATCH])).await.expect("sent");
    sink.abort().await;
    assert_eq!(
        outcome.recv().expect("an outcome"),
        (ErrorKind::Cancelled, BATCH, Some(true))
    );
}

#[tokio::test]
async fn a_sink_whose_consumer_failed_says_why() {
    let mut sink: Sink<()> = Sink::spawn(|_| Err(Error::new(ErrorKind::Quota, "full")));
    let mut outcome = Ok(());
    while outcome.is_ok() {
        outcome = sink.send(Bytes::from(vec![0; BATCH])).await;
    }
    assert_eq!(outcome.expect_err("full").kind(), &ErrorKind::Quota);
    let sink: Sink<()> = Sink::spawn(|_| Err(Error::new(ErrorKind::Quota, "full")));
    assert_eq!(sink.finish().await.expect_err("full").kind(), &ErrorKind::Quota);
    // A consumer that is content with less than there is has not been given what it says.
    let mut sink = Sink::spawn(|_| Ok(()));
    let mut outcome = Ok(());
    while outcome.is_ok() {
        outcome = sink.send(Bytes::from(vec![0; BATCH])).await;
    }
    assert_eq!(outcome.expect_err("more").kind(), &ErrorKind::Invalid);
}

#[tokio::test]
async fn run_gives_the_outcome() {
    assert_eq!(run(|| Ok(7)).await.expect("an outcome"), 7);
    let error = run(|| Err::<(), _>(io::Error::from(io::ErrorKind::NotFound).into())).await;
    assert_eq!(error.expect_err("an error").kind(), &ErrorKind::NotFound);
}

/// What `transform` gives for `input`, and the kind of the error that it ends in.
async fn transformed(
    input: Vec<Result<Bytes>>,
    work: impl FnOnce(Chunks, &mut Outlet) -> Result<()> + Send + 'static,
) -> (usize, Option<ErrorKind>) {
    let mut output = transform(stream::iter(input).boxed(), work);
    let mut length = 0;
    while let Some(bytes) = output.next().await {
        match bytes {
            Ok(bytes) => length += bytes.len(),
            Err(error) => {
                let kind = error.kind().clone();
                assert!(output.next().await.is_none(), "nothing comes after an error");
                return (length, Some(kind));
            }
        }
    }
    (length, None)
}

#[tokio::test]
async fn a_transformation_gives_all_or_an_error() {
    fn twice(chunks: Chunks, outlet: &mut Outlet) -> Result<()> {
        for chunk in chunks {
            let chunk = chunk?;
            outlet.write_all(&chunk)?;
            outlet.write_all(&chunk)?;
        }
        Ok(())
    }
    // Far more than the channels hold, so that it ends only where both sides go on.
    let input = || (0..100).map(|_| Ok(Bytes::from(vec![1; 100_000]))).collect::<Vec<_>>();
    assert_eq!(transformed(input(), twice).await, (20_000_000, None));
    assert_eq!(transformed(Vec::new(), twice).await, (0, None));
    let mut broken = input();
    broken.push(Err(Error::new(ErrorKind::Mismatch, "a lie")));
    let (length, kind) = transformed(broken, twice).await;
    assert!(length <= 20_000_000);
    assert_eq!(kind, Some(ErrorKind::Mismatch));
    let fails = |_: Chunks, _: &mut Outlet| Err(Error::new(ErrorKind::Invalid, "no gzip"));
    assert_eq!(transformed(input(), fails).await, (0, Some(ErrorKind::Invalid)));
    let stops = |_: Chunks, _: &mut Outlet| Ok(());
    assert_eq!(transformed(input(), stops).await, (0, Some(ErrorKind::Invalid)));
}
