-- Look after one chunk of what is due. Returns how many were found; a full chunk means: come again.
return settle(CHUNK)
