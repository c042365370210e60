# Fails the build if a kernel object exports a symbol outside the namespace of its instruction set. The linker
# keeps only one copy of an inline function that several objects export. If it kept the copy that was compiled
# with -mavx2, code for all CPUs would call it and crash on a CPU without AVX2. Weak symbols are therefore
# refused as well.
#   cmake -DNM=nm -DISA=avx2 -DOBJECTS="a.o;b.o" -P audit_symbols.cmake
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --defined-only --extern-only --demangle ${object}
                  OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]+" lines "${symbols}")
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "^[0-9a-f]+ [A-Za-z] byhand::cpu::${ISA}::" AND NOT line MATCHES " DW\\.ref\\.")
      message(FATAL_ERROR "${object} exports a symbol outside byhand::cpu::${ISA}: ${line}")
    endif()
  endforeach()
endforeach()
