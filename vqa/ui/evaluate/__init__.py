"""The Evaluate tab: a data set is dropped, looked at, asked, scored and gone through."""
