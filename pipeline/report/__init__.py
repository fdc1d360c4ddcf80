"""What a command did, as a document and as one page of HTML; nothing here does I/O."""
