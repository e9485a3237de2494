# mend_module(NAME SOURCES a.c … USES base … [LIBS PkgConfig::X …])   a static library, linked by the names it uses
# mend_test(FILE USES …)                 FILE.c beside this list, a GLib test program, run by ctest under FILE's path
# mend_program(NAME SOURCES … USES …)    an executable in build/bin
function(mend_module name)
  cmake_parse_arguments(M "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_library(mend_${name} STATIC ${M_SOURCES})
  mend_link(mend_${name} PUBLIC "${M_USES}" "${M_LIBS}")
endfunction()

function(mend_program name)
  cmake_parse_arguments(M "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_executable(${name} ${M_SOURCES})
  mend_link(${name} PRIVATE "${M_USES}" "${M_LIBS}")
endfunction()

function(mend_test file)
  cmake_parse_arguments(M "" "TIMEOUT" "SOURCES;USES;LIBS;LABELS;ENVIRONMENT" ${ARGN})
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REPLACE "/" "_" target "${folder}_${file}")
  add_executable(${target} ${file}.c ${M_SOURCES})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  mend_link(${target} PRIVATE "${M_USES}" "${M_LIBS}")
  add_test(NAME ${folder}/${file} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT M_TIMEOUT)
    set(M_TIMEOUT 120)
  endif()
  set_tests_properties(${folder}/${file} PROPERTIES TIMEOUT ${M_TIMEOUT} LABELS "${M_LABELS}" SKIP_RETURN_CODE 77
    ENVIRONMENT "MEND_SOURCE_DIR=${CMAKE_SOURCE_DIR};MEND_BUILD_DIR=${CMAKE_BINARY_DIR};${M_ENVIRONMENT}")
endfunction()

# mend_script_test(NAME FILE [TIMEOUT s] [LABELS …] [ARGS …])   a Python or shell test against the built programs
# Runs Debian's /usr/bin/python3, the one python3-qpid-proton belongs to. Exit 77 says: cannot run here, and why.
function(mend_script_test name file)
  cmake_parse_arguments(M "SERIAL" "TIMEOUT" "LABELS;ARGS" ${ARGN})
  if(file MATCHES "\\.py$")
    set(runner /usr/bin/python3)
  else()
    set(runner bash)
  endif()
  add_test(NAME ${name} COMMAND ${runner} ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${M_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT M_TIMEOUT)
    set(M_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${M_TIMEOUT} LABELS "${M_LABELS}" SKIP_RETURN_CODE 77 RUN_SERIAL ${M_SERIAL}
    ENVIRONMENT "MEND_SOURCE_DIR=${CMAKE_SOURCE_DIR};MEND_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/lib;PYTHONDONTWRITEBYTECODE=1")
endfunction()

# mend_fuzzer(NAME CORPUS dir USES …)    NAME.c defines LLVMFuzzerTestOneInput. Always built as a test that runs the corpus;
# with MEND_FUZZ=ON (clang) also as bin/fuzz-NAME, the real fuzzer.
function(mend_fuzzer name)
  cmake_parse_arguments(M "" "CORPUS" "USES;LIBS" ${ARGN})
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  add_executable(corpus_${name} ${name}.c ${CMAKE_SOURCE_DIR}/tests/lib/run_corpus.c)
  set_target_properties(corpus_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  mend_link(corpus_${name} PRIVATE "${M_USES}" "${M_LIBS}")
  add_test(NAME fuzz/${name} COMMAND corpus_${name} ${CMAKE_CURRENT_SOURCE_DIR}/${M_CORPUS})
  if(MEND_FUZZ)
    add_executable(fuzz-${name} ${name}.c)
    target_compile_options(fuzz-${name} PRIVATE -fsanitize=fuzzer,address,undefined)
    target_link_options(fuzz-${name} PRIVATE -fsanitize=fuzzer,address,undefined)
    mend_link(fuzz-${name} PRIVATE "${M_USES}" "${M_LIBS}")
  endif()
endfunction()

function(mend_link target scope uses libs)
  list(TRANSFORM uses PREPEND mend_ OUTPUT_VARIABLE targets)
  target_link_libraries(${target} ${scope} mend_flags ${targets} ${libs})
  if(NOT uses)
    target_link_libraries(${target} ${scope} PkgConfig::GLIB)
  endif()
endfunction()
