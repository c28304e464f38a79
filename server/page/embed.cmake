# cmake -DIN=FILE -DOUT=FILE.cc -P embed.cmake: the bytes of a file as kPageBytes (page.h).
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
file(WRITE ${OUT} "#include \"server/page/page.h\"\n\nnamespace braid {\n\n"
  "const unsigned char kPageBytes[] = {\n${hex}};\nconst size_t kPageSize = sizeof kPageBytes;\n\n}  // namespace braid\n")
