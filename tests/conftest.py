"""What every test starts from."""

import pytest
from tensorboard.summary.writer import event_file_writer


@pytest.fixture(autouse=True)
def _event_files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts TensorBoard's files from 0 in every test.

    It reads the files of a run by name, in which the tenth of one process and second would come before the ninth.
    """
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
