add_library(mend_flags INTERFACE)
target_compile_definitions(mend_flags INTERFACE _GNU_SOURCE G_LOG_DOMAIN="mend" MEND_VERSION="${PROJECT_VERSION}"
                           GLIB_VERSION_MIN_REQUIRED=GLIB_VERSION_2_74 GLIB_VERSION_MAX_ALLOWED=GLIB_VERSION_2_74)
target_include_directories(mend_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(mend_flags INTERFACE
  -Wall -Wextra -Wshadow -Wundef -Wvla -Wwrite-strings -Wformat=2 -Wpointer-arith -Wno-unused-parameter
  -Wno-missing-field-initializers -fno-strict-aliasing -fvisibility=hidden
  $<$<C_COMPILER_ID:Clang>:-Wno-unused-variable> # to clang a g_autoptr that only holds a lock is unused; gcc judges the rest
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition>)
if(MEND_WERROR)
  target_compile_options(mend_flags INTERFACE -Werror)
endif()
if(MEND_SANITIZE)
  target_compile_options(mend_flags INTERFACE -fsanitize=${MEND_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(mend_flags INTERFACE -fsanitize=${MEND_SANITIZE})
endif()
if(MEND_FUZZ) # without it the fuzzers see no branch of the libraries
  target_compile_options(mend_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(mend_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(MEND_COVERAGE)
  target_compile_options(mend_flags INTERFACE --coverage)
  target_link_options(mend_flags INTERFACE --coverage)
endif()
